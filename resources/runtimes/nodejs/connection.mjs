// One kept connection on a bare socket: node:http would take longer than the rest of an invocation.

import net from "node:net";
import { AnswerReader } from "./answers.mjs";

/** The connection ended, or could not be made, and nothing of the answer had come. */
export class Unanswered extends Error {}

export class Connection {
  #where;
  #buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #socket;
  #owed = 0; // answers that are still to come
  #answers = []; // which nobody has asked for yet
  #waiting; // for the next of them
  #lost; // why there is no connection any more

  /** To `where`, `{ host, port }`, as soon as there is something to send. */
  constructor(where) {
    this.#where = where;
  }

  /** Whether it is there; the other side may have closed it by now. */
  get kept() {
    return this.#socket !== undefined;
  }

  /** Send requests by one write; so many answers will come. */
  send(requests, answers = 1) {
    this.#socket ??= this.#connect();
    this.#owed += answers;
    this.#socket.write(requests);
  }

  /** The next answer. Only while it is waited for does the connection keep the process alive. */
  answer() {
    if (this.#answers.length > 0) {
      return this.#answers.shift();
    }
    if (this.#socket === undefined) {
      throw this.#lost;
    }
    this.#socket.ref();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #connect() {
    let failure;
    const reader = new AnswerReader((answer) => this.#answered(socket, answer));
    const callback = (count, buffer) => {
      try {
        reader.feed(buffer.subarray(0, count));
      } catch (error) {
        socket.destroy(error);
      }
    };
    // what arrives in one buffer is not copied through a stream
    const socket = net.connect({ ...this.#where, noDelay: true, onread: { buffer: this.#buffer, callback } });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("close", () => {
      const reason = `the connection to the Runtime API ${failure ? `failed: ${failure.message}` : "was closed"}`;
      this.#end(socket, reader.begun ? new Error(reason) : new Unanswered(reason));
    });
    return socket;
  }

  #answered(socket, answer) {
    if (socket !== this.#socket) {
      return;
    }
    if (this.#owed === 0) {
      this.#end(socket, new Unanswered("the Runtime API answered what was not asked"));
      return;
    }
    this.#owed -= 1;
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#answers.push(answer);
    } else {
      this.#waiting = undefined;
      socket.unref();
      waiting.resolve(answer);
    }
    if (answer.headers.connection?.toLowerCase() === "close") {
      this.#end(socket, new Unanswered("the Runtime API closed the connection"));
    }
  }

  #end(socket, why) {
    if (socket !== this.#socket) {
      return;
    }
    this.#socket = undefined;
    this.#owed = 0;
    this.#lost = why;
    socket.destroy();
    this.#waiting?.reject(why);
    this.#waiting = undefined;
  }
}
