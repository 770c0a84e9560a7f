"""Takes three seconds to initialise and answers at once afterwards: a cold start that can be watched."""

import time

began = time.monotonic()
for step in ("reading the settings", "loading the model", "opening the connections"):
    print(f"init: {step}", flush=True)
    time.sleep(1)
init_seconds = time.monotonic() - began
served = 0


def handler(event, context):
    global served
    served += 1
    return {
        "init_seconds": round(init_seconds, 3),
        "first_of_this_instance": served == 1,
        "served_by_this_instance": served,
    }
