import assert from "node:assert/strict";
import test from "node:test";

import { call, credential } from "../../../../baton/web/console/static/playground/call.js";
import { events } from "../../../../baton/web/static/sse.js";
import { random } from "./random.mjs";

const ASKED = { address: "http://relay.test/v1/completions", credential: credential({ key: "sk-1", mark: "m" }), body: { model: "m" }, headers: { "x-a": "b" } };
const SSE = { "content-type": "text/event-stream; charset=utf-8" };

/** Bytes in parts of random sizes, as a network would deliver them. */
function body(text, { below }) {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length;) {
        const size = 1 + below(9);
        controller.enqueue(bytes.slice(at, at + size));
        at += size;
      }
      controller.close();
    },
  });
}

async function run(answer, asked = ASKED) {
  const seen = { sent: null, head: null, chunks: [] };
  let clock = 100;
  const end = await call(
    { ...asked, signal: new AbortController().signal },
    { head: (response, at) => { seen.head = [response.status, at]; }, chunk: (chunk, at) => seen.chunks.push([chunk, at]) },
    { fetch: async (...given) => { seen.sent = given; return answer(); }, now: () => (clock += 1), events },
  );
  return { ...seen, end };
}

test("a stream's chunks come one by one, for any chunking of its bytes", async () => {
  const events = [{ choices: [{ index: 0, text: "补🎉\n\n" }] }, { usage: { prompt_tokens: 1 }, choices: [] }];
  const wire = [...events.map((each) => JSON.stringify(each)), "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
  for (let seed = 0; seed < 100; seed += 1) {
    const { chunks, end, head } = await run(() => new Response(body(wire, random(seed)), { headers: SSE }));
    assert.deepEqual(chunks.map(([chunk]) => chunk), events);
    assert.deepEqual([end.kind, end.status, head], ["whole", 200, [200, 1]]);
    assert.ok(chunks[0][1] < chunks[1][1]);
  }
});

test("the key goes in its header, and no cookie goes along", async () => {
  const { sent: [address, options] } = await run(() => new Response("{}", { headers: { "content-type": "application/json" } }));
  assert.equal(address, ASKED.address);
  assert.deepEqual([options.method, options.credentials, options.redirect], ["POST", "omit", "error"]);
  assert.deepEqual(options.headers, { "x-a": "b", Authorization: "Bearer sk-1", "Content-Type": "application/json" });
  assert.equal(options.body, '{"model":"m"}');
});

test("without a key it is the session, with the mark that only its pages know", async () => {
  const asked = { ...ASKED, credential: credential({ key: "", mark: "mark-1" }) };
  const { sent: [, options] } = await run(() => new Response("{}", { headers: { "content-type": "application/json" } }), asked);
  assert.equal(options.credentials, "same-origin");
  assert.deepEqual(options.headers, { "x-a": "b", "x-baton-csrf": "mark-1", "Content-Type": "application/json" });
});

test("a stream without [DONE] is cut, one with an error is broken", async () => {
  const cut = await run(() => new Response(body('data: {"choices":[]}\n\n', random(1)), { headers: SSE }));
  assert.equal(cut.end.kind, "cut");
  const broken = await run(() => new Response(body('data: {"error":{"code":"upstream_lost"}}\n\n', random(1)), { headers: SSE }));
  assert.deepEqual([broken.end.kind, broken.end.error.code], ["broken", "upstream_lost"]);
  const garbled = await run(() => new Response(body("data: {nonsense\n\n", random(1)), { headers: SSE }));
  assert.equal(garbled.end.kind, "garbled");
});

test("a refusal carries the server's error and how long to wait", async () => {
  const error = { message: "slow down", type: "requests", param: null, code: "rate_limit_exceeded" };
  const { end, chunks } = await run(() => new Response(JSON.stringify({ error }), { status: 429, headers: { "retry-after-ms": "70" } }));
  assert.deepEqual([end.kind, end.status, end.error, end.waitMs, chunks], ["refused", 429, error, 70, []]);
  const foreign = await run(() => new Response("<html>bad gateway</html>", { status: 502 }));
  assert.equal(foreign.end.error.message, "<html>bad gateway</html>");
});

test("no network, and a stop by hand", async () => {
  assert.equal((await run(() => { throw new TypeError("fetch failed"); })).end.kind, "network");
  const stopped = await run(() => { throw new DOMException("stopped", "AbortError"); });
  assert.equal(stopped.end.kind, "stopped");
  const midway = new ReadableStream({ pull(controller) { controller.error(new TypeError("reset")); } });
  assert.equal((await run(() => new Response(midway, { headers: SSE }))).end.kind, "cut");
});
