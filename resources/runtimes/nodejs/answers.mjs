// Answers of HTTP/1.1, read from bytes as they arrive.
// Source: https://www.rfc-editor.org/rfc/rfc9112

const NOTHING = Buffer.alloc(0);

/** Calls `answered({ status, headers, body })` for each answer; names of headers are in lower case, the body is text. */
export class AnswerReader {
  #answered;
  #step = this.#head;
  #rest = NOTHING; // begins what has not come whole
  #answer; // whose body has not come whole
  #parts = [];
  #missing = 0; // bytes of the body, or of the chunk

  constructor(answered) {
    this.#answered = answered;
  }

  /** Whether a part of an answer has come. */
  get begun() {
    return this.#answer !== undefined || this.#rest.length > 0;
  }

  /** Take what has arrived; it may be overwritten afterwards. Throws where it is not HTTP. */
  feed(data) {
    if (this.#rest.length > 0) {
      data = Buffer.concat([this.#rest, data]);
      this.#rest = NOTHING;
    }
    for (let at = 0; at < data.length; ) {
      const end = this.#step(data, at);
      if (end < 0) {
        this.#rest = Buffer.from(data.subarray(at));
        return;
      }
      at = end;
    }
  }

  // each step returns where the next one begins, or -1 where it needs more

  #head(data, at) {
    const end = data.indexOf("\r\n\r\n", at, "latin1");
    if (end < 0) {
      return -1;
    }
    const [first, ...lines] = data.toString("latin1", at, end).split("\r\n");
    const status = Number(/^HTTP\/1\.\d (\d{3})(?: |$)/.exec(first)?.[1]);
    if (!status) {
      throw new Error(`not an answer of HTTP/1.1: ${first}`);
    }
    if (status < 200) {
      return end + 4;
    }
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    this.#answer = { status, headers, body: "" };
    if (headers["transfer-encoding"]?.toLowerCase() === "chunked") {
      this.#step = this.#size;
      return end + 4;
    }
    this.#missing = number(headers["content-length"] ?? "0", 10);
    if (this.#missing === 0) {
      this.#complete();
    } else {
      this.#step = this.#body;
    }
    return end + 4;
  }

  #body(data, at) {
    const end = at + this.#missing;
    if (this.#parts.length === 0 && end <= data.length) {
      this.#answer.body = data.toString("utf8", at, end);
      this.#complete();
      return end;
    }
    const reached = this.#keep(data, at);
    if (this.#missing === 0) {
      this.#join();
      this.#complete();
    }
    return reached;
  }

  #size(data, at) {
    const end = data.indexOf("\r\n", at, "latin1");
    if (end >= 0) {
      this.#missing = number(data.toString("latin1", at, end).split(";", 1)[0].trim(), 16);
      this.#step = this.#missing === 0 ? this.#trailer : this.#chunk;
    }
    return end < 0 ? -1 : end + 2;
  }

  #chunk(data, at) {
    const reached = this.#keep(data, at);
    if (this.#missing === 0) {
      this.#step = this.#chunkEnd;
    }
    return reached;
  }

  #chunkEnd(data, at) {
    if (data.length < at + 2) {
      return -1;
    }
    this.#step = this.#size;
    return at + 2;
  }

  #trailer(data, at) {
    const end = data.indexOf("\r\n", at, "latin1");
    if (end === at) {
      this.#join();
      this.#complete();
    }
    return end < 0 ? -1 : end + 2;
  }

  #keep(data, at) {
    const part = Buffer.from(data.subarray(at, at + this.#missing));
    this.#parts.push(part);
    this.#missing -= part.length;
    return at + part.length;
  }

  // only whole, for a character may be spread over two parts
  #join() {
    this.#answer.body = Buffer.concat(this.#parts).toString("utf8");
    this.#parts = [];
  }

  #complete() {
    const answer = this.#answer;
    this.#answer = undefined;
    this.#step = this.#head;
    this.#answered(answer);
  }
}

function number(text, base) {
  const found = (base === 16 ? /^[\da-f]+$/i : /^\d+$/).test(text) ? Number.parseInt(text, base) : Number.NaN;
  if (!Number.isSafeInteger(found)) {
    throw new Error(`not a length in HTTP/1.1: ${text}`);
  }
  return found;
}
