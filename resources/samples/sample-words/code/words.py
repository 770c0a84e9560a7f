"""A whole custom runtime: asks the Runtime API for events and streams each answer word by word.

The event: {"text": "...", "delay_ms": 70, "fail_after": 5}; all of it may be left out.
The protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import base64
import http.client
import json
import os
import re
import sys
import time

API = "/2018-06-01/runtime"
DEFAULT_TEXT = (
    "A pilot light is a small flame that never goes out. It waits, burning almost nothing, so that "
    "the big one can start at once. A warm instance does the same for a function: it has read its "
    "code and made its connections, and all that is missing is an event. This text is not in a "
    "buffer somewhere. Each word was written by a process on this machine a moment before you saw it."
)


def main():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=None)
    while True:
        api.request("GET", f"{API}/invocation/next")
        reply = api.getresponse()
        request_id = reply.getheader("Lambda-Runtime-Aws-Request-Id")
        body = reply.read()
        try:
            words, delay, fail_after = understand(body)
        except ValueError as error:
            report(api, request_id, error)
            continue
        print(f"words to write: {len(words)}, one every {delay * 1000:g} ms", flush=True)
        stream(api, request_id, words, delay, fail_after)


def understand(body):
    """The words, the seconds between them, and after how many to fail. Raises ValueError."""
    event = json.loads(body) if body.strip() else {}
    if isinstance(event, str):
        event = {"text": event}
    if not isinstance(event, dict):
        event = {}
    text = event.get("text") or DEFAULT_TEXT
    if not isinstance(text, str):
        raise ValueError(f"text must be a string, not {text!r}")
    delay_ms = number(event, "delay_ms", 70)
    fail_after = number(event, "fail_after", None)
    # each word keeps the space that follows it, so that the chunks join to exactly the text
    return re.findall(r"\s*\S+\s*", text) or [text], delay_ms / 1000, fail_after


def number(event, name, default):
    value = event.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 60_000:
        raise ValueError(f"{name} must be a number from 0 to 60000, not {value!r}")
    return value


def stream(api, request_id, words, delay, fail_after):
    api.putrequest("POST", f"{API}/invocation/{request_id}/response")
    api.putheader("Content-Type", "text/plain; charset=utf-8")
    api.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    api.putheader("Transfer-Encoding", "chunked")
    api.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    api.endheaders()
    trailers = ""
    for index, word in enumerate(words):
        if fail_after is not None and index >= fail_after:
            trailers = failure(f"asked to fail after {fail_after:g} words")
            break
        if index:
            time.sleep(delay)
        data = word.encode("utf-8", "replace")
        api.send(b"%x\r\n%b\r\n" % (len(data), data))
    # an error after the first byte can only be told in trailers, behind the last chunk
    api.send(f"0\r\n{trailers}\r\n".encode("ascii"))
    api.getresponse().read()


def failure(message):
    print(f"failing: {message}", flush=True)
    details = json.dumps({"errorType": "Words.StoppedHalfway", "errorMessage": message, "stackTrace": []})
    encoded = base64.b64encode(details.encode()).decode()
    return (
        "Lambda-Runtime-Function-Error-Type: Words.StoppedHalfway\r\n"
        f"Lambda-Runtime-Function-Error-Body: {encoded}\r\n"
    )


def report(api, request_id, error):
    """Before the first byte an error is an answer of its own."""
    details = {"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": []}
    api.request(
        "POST",
        f"{API}/invocation/{request_id}/error",
        body=json.dumps(details),
        headers={"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": type(error).__name__},
    )
    api.getresponse().read()


if __name__ == "__main__":
    try:
        main()
    except (ConnectionError, http.client.HTTPException) as error:
        sys.exit(f"the Runtime API went away: {error!r}")
