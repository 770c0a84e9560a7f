// Streams server-sent events, as a function behind a function URL would.
// `awslambda` is a global of Lambda's Node runtimes; there is nothing to install.
// https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const number = (value, fallback, high) => (Number.isFinite(value) ? Math.min(Math.max(value, 0), high) : fallback);

export const handler = awslambda.streamifyResponse(async (event, responseStream, context) => {
  const count = number(event?.count, 12, 100_000);
  const interval = number(event?.interval_ms, 400, 60_000);
  console.log(`sending ${count} events, ${interval} ms apart`);

  const stream = awslambda.HttpResponseStream.from(responseStream, {
    statusCode: 200,
    headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" },
  });
  for (let id = 1; id <= count; id++) {
    const data = JSON.stringify({ id, of: count, at: new Date().toISOString(), remaining_ms: context.getRemainingTimeInMillis() });
    // false means that the reader is behind: wait for it, as a stream should
    if (!stream.write(`id: ${id}\nevent: tick\ndata: ${data}\n\n`)) await once(stream, "drain");
    if (id < count) await sleep(interval);
  }
  stream.write("event: done\ndata: {}\n\n");
  stream.end();
});
