// Errors as Lambda reports them: the types of the runtime's own, and the JSON of any.

const types = {};
for (const name of [
  "ImportModuleError",
  "HandlerNotFound",
  "MalformedHandlerName",
  "UserCodeSyntaxError",
  "MalformedStreamingHandler",
  "InvalidStreamingOperation",
  "UnhandledPromiseRejection",
]) {
  const type = { [name]: class extends Error {} }[name];
  type.prototype.name = `Runtime.${name}`;
  types[name] = type;
}

export const {
  ImportModuleError,
  HandlerNotFound,
  MalformedHandlerName,
  UserCodeSyntaxError,
  MalformedStreamingHandler,
  InvalidStreamingOperation,
  UnhandledPromiseRejection,
} = types;

/** A rejection that nobody handled; `reason` is what the promise was rejected with. */
export function unhandled(reason, promise) {
  const error = new UnhandledPromiseRejection(describe(reason));
  error.reason = reason;
  error.promise = promise;
  return error;
}

function describe(reason) {
  try {
    return String(reason);
  } catch {
    return "a value that cannot be shown";
  }
}

function looksLikeError(value) {
  return (
    value instanceof Error ||
    (value !== null &&
      typeof value === "object" &&
      typeof value.name === "string" &&
      typeof value.message === "string" &&
      typeof value.stack === "string")
  );
}

// DEL is the one control character that JSON leaves as it is, and no header may hold
const clean = (text) => String(text ?? "").replaceAll("\x7f", "%7F");

/** Lambda's error JSON as an object: {errorType, errorMessage, trace}. Never throws. */
export function errorJson(error) {
  try {
    if (looksLikeError(error)) {
      return {
        errorType: clean(error.name),
        errorMessage: clean(error.message),
        trace: clean(error.stack).split("\n"),
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: "handled",
      errorMessage:
        "callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack",
      trace: [],
    };
  }
}

export function intoError(value) {
  return value instanceof Error ? value : new Error(describe(value));
}

/** The line that the log gets for an error: tab, then JSON with all of its own properties. */
export function loggedError(error) {
  const withProperties = (_key, value) => {
    if (!(value instanceof Error)) {
      return value;
    }
    const shown = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
    if (typeof value.stack === "string") {
      shown.stack = value.stack.split("\n");
    }
    return shown;
  };
  try {
    return `\t${JSON.stringify(error, withProperties)}`;
  } catch {
    return `\t${JSON.stringify(errorJson(error))}`;
  }
}
