// The Runtime API: next event and results on one kept connection, errors and streamed responses on others.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

import http from "node:http";
import { Writable } from "node:stream";
import { Connection, Unanswered } from "./connection.mjs";
import { InvalidStreamingOperation, errorJson } from "./errors.mjs";

const PREFIX = "/2018-06-01/runtime";
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";
const HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response";
const ALONE_FROM = 64 * 1024; // bytes of a result
// tells Stoker that it may answer together with what follows
const ASKED_AHEAD = "Stoker-Asked-Ahead: next\r\n";

const address = process.env.AWS_LAMBDA_RUNTIME_API;
const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
const port = Number(address.slice(address.lastIndexOf(":") + 1));
const agent = new http.Agent({ keepAlive: true, noDelay: true });

const head = (request, lines = "") => `${request} HTTP/1.1\r\nHost: ${address}\r\n${lines}\r\n`;
const NEXT = head(`GET ${PREFIX}/invocation/next`);
const connection = new Connection({ host, port });
let askedAhead = false;

// a header takes printable ASCII only
const headerText = (text) => text.replace(/[^\x20-\x7e]/g, "?");

function open(method, path, headers) {
  return http.request({ host, port, method, path: PREFIX + path, headers, agent });
}

function post(path, body, headers) {
  return new Promise((resolve, reject) => {
    const sent = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const request = open("POST", path, { ...sent, ...headers });
    request.on("error", reject);
    request.on("response", (response) => {
      response.on("error", reject);
      response.on("end", resolve);
      response.resume();
    });
    request.end(body);
  });
}

async function askedNext() {
  const kept = connection.kept;
  if (askedAhead) {
    askedAhead = false;
    const { status } = await connection.answer();
    if (status < 200 || status > 299) {
      throw new Error(`the Runtime API answered ${status} to a result`);
    }
  } else {
    connection.send(NEXT);
  }
  try {
    return await connection.answer();
  } catch (error) {
    // a kept connection may have been closed while idle; only a question is safe to repeat
    if (!kept || !(error instanceof Unanswered)) {
      throw error;
    }
  }
  connection.send(NEXT);
  return connection.answer();
}

/** Wait for the next event: its headers, and its body as text. */
export async function next() {
  const { status, headers, body } = await askedNext();
  if (status !== 200) {
    throw new Error(`the Runtime API answered ${status} to a request for the next event`);
  }
  return { headers, body };
}

/** A result as it is posted. Throws where it has no JSON. */
export function resultJson(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? "null";
  } catch {
    throw new Error("Unable to stringify response body");
  }
}

/** Post a result. Whether a small one was taken is known by `next`, which must follow at once. */
export async function postResult(id, json) {
  const size = Buffer.byteLength(json);
  const lines = `Content-Type: application/json\r\nContent-Length: ${size}\r\n`;
  const request = `POST ${PREFIX}/invocation/${encodeURIComponent(id)}/response`;
  if (size < ALONE_FROM) {
    askedAhead = true;
    connection.send(head(request, ASKED_AHEAD + lines) + json + NEXT, 2);
  } else {
    // a large one may be refused, by an answer that closes the connection
    connection.send(head(request, lines) + json);
    await connection.answer();
  }
}

export async function postError(id, error) {
  const reported = errorJson(error);
  const headers = { [ERROR_TYPE]: headerText(reported.errorType) };
  await post(`/invocation/${encodeURIComponent(id)}/error`, JSON.stringify(reported), headers);
}

export async function postInitError(error) {
  const reported = errorJson(error);
  await post("/init/error", JSON.stringify(reported), { [ERROR_TYPE]: headerText(reported.errorType) });
}

/**
 * What a streaming handler writes to. Each write is one chunk on the wire; `write` returns false when
 * the reader is behind, and "drain" follows. `delivered` settles when the Runtime API has it all.
 */
export class ResponseStream extends Writable {
  #request;
  #prelude;
  #started = false;
  #delivered;

  constructor(id, highWaterMark) {
    super({ highWaterMark, decodeStrings: true });
    this.#request = open("POST", `/invocation/${encodeURIComponent(id)}/response`, {
      "Lambda-Runtime-Function-Response-Mode": "streaming",
      "Transfer-Encoding": "chunked",
      "Content-Type": "application/octet-stream",
      Trailer: `${ERROR_TYPE}, ${ERROR_BODY}`,
    });
    this.#delivered = new Promise((resolve, reject) => {
      this.#request.on("error", (error) => {
        this.destroy(error);
        reject(error);
      });
      this.#request.on("response", (response) => {
        response.resume();
        response.on("end", resolve);
        response.on("error", reject);
      });
    });
    // whoever waits for it hears of a failure; nobody need
    this.#delivered.catch(() => {});
    this.on("error", () => {});
  }

  get delivered() {
    return this.#delivered;
  }

  setContentType(contentType) {
    if (this.#started) {
      throw new InvalidStreamingOperation("Cannot set content-type, too late.");
    }
    this.#request.setHeader("Content-Type", contentType);
  }

  /** Send `prelude` ahead of the first byte, as an HTTP integration expects it. */
  setPrelude(prelude) {
    this.setContentType(HTTP_INTEGRATION);
    this.#prelude = JSON.stringify(prelude);
  }

  write(chunk, encoding, callback) {
    if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) {
      chunk = JSON.stringify(chunk);
    }
    return super.write(chunk, encoding, callback);
  }

  /** End the response as failed: the error goes into its trailers. */
  async fail(error) {
    const reported = errorJson(error);
    if (this.writableEnded) {
      // the response was complete before the error came
      await this.#delivered.catch(() => {});
      return;
    }
    await new Promise((resolve) => {
      const end = () => {
        this.#start();
        this.#request.addTrailers({
          [ERROR_TYPE]: headerText(reported.errorType),
          [ERROR_BODY]: Buffer.from(JSON.stringify(reported)).toString("base64"),
        });
        this.#request.end(resolve);
        this.#request.once("close", resolve);
      };
      if (this.#request.writableEnded || this.#request.destroyed) {
        resolve();
      } else if (this.writableLength > 0) {
        // what was written before the error comes before it
        super.write("", end);
      } else {
        end();
      }
    });
    await this.#delivered.catch(() => {});
  }

  #start() {
    if (!this.#started) {
      this.#started = true;
      if (this.#prelude !== undefined) {
        this.#request.write(this.#prelude);
        this.#request.write(Buffer.alloc(8));
      }
      this.#request.flushHeaders();
    }
  }

  _write(chunk, _encoding, callback) {
    this.#start();
    if (chunk.length === 0 || this.#request.write(chunk)) {
      callback();
    } else {
      this.#request.once("drain", callback);
    }
  }

  _final(callback) {
    this.#start();
    this.#request.end(callback);
  }

  _destroy(error, callback) {
    if (!this.#request.writableEnded) {
      this.#request.destroy(error ?? undefined);
    }
    callback(error);
  }
}
