// Finding the handler that the function names, in ES modules and in CommonJS.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import {
  HandlerNotFound,
  ImportModuleError,
  MalformedHandlerName,
  MalformedStreamingHandler,
  UserCodeSyntaxError,
} from "./errors.mjs";

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

/** The global `awslambda` that streaming functions use. */
export function defineGlobal() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = "response";
      if (typeof options?.highWaterMark === "number") {
        handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      }
      return handler;
    },
    HttpResponseStream: class HttpResponseStream {
      static from(stream, prelude) {
        stream.setPrelude(prelude);
        return stream;
      }
    },
  };
}

function isModulePackage(directory) {
  for (let folder = directory; !folder.endsWith("/node_modules"); folder = path.dirname(folder)) {
    const description = path.join(folder, "package.json");
    if (fs.existsSync(description)) {
      try {
        return JSON.parse(fs.readFileSync(description, "utf8"))?.type === "module";
      } catch (error) {
        console.warn(`${description} cannot be read, it will be ignored for ES module detection purposes.`, error);
        return false;
      }
    }
    if (folder === path.dirname(folder)) {
      return false;
    }
  }
  return false;
}

const isFile = (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const require = createRequire(path.join(root, "noop.js"));
  const load = (found) => import(pathToFileURL(found).href);
  if (isFile(file)) {
    return require(file);
  }
  if (isFile(`${file}.js`)) {
    return isModulePackage(path.dirname(file)) ? load(`${file}.js`) : require(`${file}.js`);
  }
  if (isFile(`${file}.mjs`)) {
    return load(`${file}.mjs`);
  }
  if (isFile(`${file}.cjs`)) {
    return require(`${file}.cjs`);
  }
  return require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
}

/** The function that `handler` ("folder/file.export.inner") names, and whether and how it streams. */
export async function loadHandler(root, handler) {
  if (handler.includes("..")) {
    throw new MalformedHandlerName(
      `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.*)$/.exec(base);
  if (!match) {
    throw new MalformedHandlerName("Bad handler");
  }
  const folder = handler.slice(0, handler.indexOf(base));
  let loaded;
  try {
    loaded = await loadModule(root, folder, match[1]);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new UserCodeSyntaxError(error);
    }
    if (error?.code === "MODULE_NOT_FOUND") {
      throw new ImportModuleError(error);
    }
    throw error;
  }
  const found = match[2].split(".").reduce((inner, key) => inner && inner[key], loaded);
  if (!found) {
    throw new HandlerNotFound(`${handler} is undefined or not exported`);
  }
  if (typeof found !== "function") {
    throw new HandlerNotFound(`${handler} is not a function`);
  }
  const mode = found[STREAMING] ?? false;
  if (mode !== false && mode !== "response") {
    throw new MalformedStreamingHandler("Only response streaming is supported.");
  }
  return { handler: found, streaming: mode === "response", highWaterMark: found[HIGH_WATER_MARK] };
}
