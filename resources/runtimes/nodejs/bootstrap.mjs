// Runs a Node function: loads its handler and serves events until the Runtime API goes away.
// Needs `node` alone. What a function can observe is as with AWS's own client.

import { ResponseStream, next, postError, postInitError, postResult, resultJson } from "./client.mjs";
import { logError, patchConsole, setRequest } from "./console.mjs";
import { unhandled } from "./errors.mjs";
import { defineGlobal, loadHandler } from "./handler.mjs";

const UNCAUGHT = 129;
const UNHANDLED = 128;

// what is to be done once the function has nothing left to wait for
let whenIdle = () => {};
// how an error that nobody caught is reported: as one of the init, or of the running invocation
let report = postInitError;

process.on("beforeExit", () => {
  const then = whenIdle;
  whenIdle = () => {};
  then();
});

async function giveUp(what, error, status) {
  logError(what, error);
  try {
    await report(error);
  } catch (failed) {
    process.stderr.write(`the error could not be reported: ${failed}\n`);
  }
  process.exit(status);
}

process.on("uncaughtException", (error) => giveUp("Uncaught Exception", error, UNCAUGHT));
process.on("unhandledRejection", (reason, promise) =>
  giveUp("Unhandled Promise Rejection", unhandled(reason, promise), UNHANDLED),
);

function parsed(text, name) {
  if (!text) {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

function attachFacts(context, headers) {
  const trace = headers["lambda-runtime-trace-id"];
  if (trace) {
    process.env._X_AMZN_TRACE_ID = trace;
  } else {
    delete process.env._X_AMZN_TRACE_ID;
  }
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  return Object.assign(context, {
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed(headers["lambda-runtime-client-context"], "ClientContext"),
    identity: parsed(headers["lambda-runtime-cognito-identity"], "CognitoIdentity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  });
}

const isPromise = (value) => typeof value?.then === "function";

/** Serve one event with a handler that returns, calls back, or returns a promise; resolves when it is answered. */
function serveBuffered({ handler }, id, headers, body) {
  return new Promise((answered) => {
    let finished = false;
    let waits = true;

    const fail = async (error) => {
      logError("Invoke Error", error);
      await postError(id, error);
      answered();
    };
    const succeed = async (result) => {
      let json;
      try {
        json = resultJson(result);
      } catch (error) {
        await fail(error);
        return;
      }
      await postResult(id, json);
      answered();
    };
    const finish = (error, result) => {
      if (finished) {
        return;
      }
      finished = true;
      whenIdle = () => {};
      // after the handler's own turn of the loop, so that its last lines are written
      setImmediate(() => (error === undefined || error === null ? succeed(result) : fail(error)));
    };
    const callback = (error, result) => {
      if (finished || (error !== undefined && error !== null) || !waits) {
        finish(error, result);
        return;
      }
      finished = true;
      whenIdle = () => setImmediate(() => succeed(result));
    };
    const context = {
      get callbackWaitsForEmptyEventLoop() {
        return waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waits = value;
      },
      done: (error, result) => finish(error, result),
      succeed: (result) => finish(null, result),
      fail: (error) => finish(error ?? "handled"),
    };

    // a handler that neither calls back nor has anything left to do is answered with null
    whenIdle = () => finish(null, null);
    try {
      const result = handler(JSON.parse(body), attachFacts(context, headers), callback);
      if (isPromise(result)) {
        result.then(context.succeed, context.fail);
      }
    } catch (error) {
      finish(error ?? "handled");
    }
  });
}

/** Serve one event with a handler that streams; resolves when the response is over. */
async function serveStreaming({ handler, highWaterMark }, id, headers, body) {
  const stream = new ResponseStream(id, highWaterMark);
  let waits = true;
  const context = {
    get callbackWaitsForEmptyEventLoop() {
      return waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      waits = value;
    },
  };
  report = (error) => stream.fail(error);
  try {
    const result = handler(JSON.parse(body), stream, attachFacts(context, headers));
    if (!isPromise(result)) {
      throw new Error("Streaming does not support non-async handlers.");
    }
    if ((await result) !== undefined) {
      console.warn("Streaming handlers ignore return values.");
    }
    await stream.delivered;
    if (!stream.writableFinished) {
      throw new Error("Response stream is not finished.");
    }
  } catch (error) {
    logError("Invoke Error", error);
    await stream.fail(error);
  }
  if (waits) {
    await new Promise((resolve) => {
      whenIdle = () => setImmediate(resolve);
    });
  }
}

async function main() {
  patchConsole();
  defineGlobal();
  const loaded = await loadHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  const serve = loaded.streaming ? serveStreaming : serveBuffered;
  for (;;) {
    const { headers, body } = await next();
    const id = headers["lambda-runtime-aws-request-id"];
    setRequest(id, headers["lambda-runtime-aws-tenant-id"]);
    report = (error) => postError(id, error);
    await serve(loaded, id, headers, body);
  }
}

main().catch((error) => giveUp("Uncaught Exception", error, UNCAUGHT));
