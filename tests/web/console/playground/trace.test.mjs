import assert from "node:assert/strict";
import test from "node:test";

import { Trace, duration, figures, strip, ticks } from "../../../../baton/web/console/static/playground/trace.js";
import { random } from "./random.mjs";

function traced(headers, times, end) {
  const trace = new Trace();
  trace.headers = headers;
  for (const [index, at] of times) trace.piece(index, at);
  trace.end = end;
  return trace;
}

test("figures: first token, gaps, tokens a second", () => {
  const found = figures(traced(10, [[0, 20], [0, 30], [0, 40], [0, 120]], 125), 4);
  assert.deepEqual([found.headers, found.first, found.end, found.typical, found.slow], [10, 20, 125, 10, 80]);
  assert.equal(found.rate, 30);
});

test("an answer of one piece has no gaps and no rate", () => {
  const found = figures(traced(10, [[0, 10]], 10), 64);
  assert.deepEqual([found.typical, found.rate], [null, null]);
});

test("a call that got nowhere is one band of waiting", () => {
  assert.deepEqual(strip(traced(null, [], 50), 100).bands, [{ name: "headers", x: 0, width: 100 }]);
});

test("everything lies within the strip, and lanes and marks are bounded", () => {
  const { next, below } = random(4);
  for (let round = 0; round < 300; round += 1) {
    let at = next() * 100;
    const headers = at;
    const times = Array.from({ length: below(3000) }, () => [below(20), (at += next() * next() * 50)]);
    const found = strip(traced(headers, times, next() < 0.5 ? at + next() : null), 1000);
    const places = [...found.lanes.flatMap((lane) => lane.marks), ...found.ticks.map((tick) => tick.x)];
    assert.ok(places.every((x) => x >= 0 && x <= 1000));
    assert.ok(found.bands.every((band) => band.x >= 0 && band.x + band.width <= 1000 + 1e-6));
    assert.ok(found.lanes.length <= 8 && found.lanes.every((lane) => lane.marks.length <= 600));
  }
});

test("a scale has three to seven round times, from 0 on", () => {
  for (const whole of [1, 3, 7, 49, 50, 51, 999, 1000, 12345, 600000]) {
    const found = ticks(whole);
    assert.equal(found[0], 0);
    assert.ok(found.length >= 3 && found.length <= 7, `${whole}: ${found}`);
    assert.ok(found.at(-1) <= whole + 1e-6);
  }
});

test("durations are short", () => {
  assert.deepEqual([null, 0, 4.26, 48.4, 999, 1250, 12345].map(duration), ["–", "0", "4.3 ms", "48 ms", "999 ms", "1.25 s", "12.3 s"]);
});
