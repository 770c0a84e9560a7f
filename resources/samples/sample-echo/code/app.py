"""Sends its event back, with what Lambda tells a function about itself."""

import os
import platform

# Module level runs once for each instance, in its init; the counter shows how long it has been warm.
served = 0


def handler(event, context):
    global served
    served += 1
    print(f"event number {served} of this instance")
    return {
        "greeting": os.environ.get("GREETING", "Hello"),
        "event": event,
        "context": {
            "function_name": context.function_name,
            "request_id": context.aws_request_id,
            "memory_limit_mb": context.memory_limit_in_mb,
            "remaining_ms": context.get_remaining_time_in_millis(),
        },
        "served_by_this_instance": served,
        "python": platform.python_version(),
    }
