// The function's console, as Lambda's: timestamp, request id, level and message, one line each.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html

import { format } from "node:util";
import { intoError, loggedError } from "./errors.mjs";

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const json = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
const lowest = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));

let requestId;
let tenantId;

/** Which invocation the lines from now on belong to. */
export function setRequest(id, tenant) {
  requestId = id;
  tenantId = tenant;
}

function stackOf(error) {
  return typeof error.stack === "string" ? error.stack.split("\n") : [];
}

function jsonLine(level, parts) {
  const line = { timestamp: new Date().toISOString(), level, requestId };
  if (tenantId) {
    line.tenantId = tenantId;
  }
  if (parts.length === 1) {
    line.message = parts[0];
    const replacer = (_key, value) =>
      value instanceof Error
        ? { errorType: value.constructor?.name, errorMessage: value.message, stackTrace: stackOf(value), ...value }
        : value;
    try {
      return JSON.stringify(line, replacer);
    } catch {
      line.message = format(parts[0]);
      return JSON.stringify(line);
    }
  }
  line.message = format(...parts);
  const error = parts.find((part) => part instanceof Error);
  if (error) {
    line.errorType = error.constructor?.name;
    line.errorMessage = error.message;
    line.stackTrace = stackOf(error);
  }
  return JSON.stringify(line);
}

function write(level, parts) {
  const line = json
    ? jsonLine(level, parts)
    : `${new Date().toISOString()}\t${requestId}\t${level}\t${format(...parts)}`;
  process.stdout.write(`${line.replaceAll("\n", "\r")}\n`);
}

/** Replace the console's methods. */
export function patchConsole() {
  LEVELS.forEach((level, priority) => {
    console[level.toLowerCase()] = priority < lowest ? () => {} : (...parts) => write(level, parts);
  });
  console.log = console.info;
}

/** Log an error as the runtime itself does. */
export function logError(what, error) {
  if (json) {
    console.error(intoError(error));
  } else {
    console.error(what, loggedError(intoError(error)));
  }
}
