import assert from "node:assert/strict";
import test from "node:test";

import { cut, spelled, visible } from "../../../../baton/web/console/static/playground/visible.js";
import { random } from "./random.mjs";

test("what steers a terminal or the reading direction becomes a mark", () => {
  assert.equal(visible("\u001b[31mred"), "␛[31mred");
  assert.equal(visible("a\u202eb\u2066c"), "a⟨202E⟩b⟨2066⟩c");
  assert.equal(visible("\u0000\u007f\u009b"), "␀␡⟨009B⟩");
  assert.equal(visible("\ud800x"), "�x");
});

test("letters of every script, emoji and line ends stay what they are", () => {
  for (const text of ["补全 🎉 é", "שלום", "tab\tline\n", "👩\u200d👧"]) assert.equal(visible(text), text);
});

test("nothing that hides is left, whatever the text", () => {
  const { text } = random(1);
  for (let round = 0; round < 2000; round += 1) {
    assert.ok(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200b\u2028]/.test(visible(text(30))));
  }
});

test("a token by itself shows its spaces", () => {
  assert.equal(spelled(" a\n"), "␣a⏎");
  assert.equal(spelled(""), "∅");
});

test("an endless text is cut, and never within a character", () => {
  assert.deepEqual(cut("x".repeat(10), 10), { text: "x".repeat(10), left: 0 });
  assert.deepEqual(cut("x".repeat(11), 10), { text: "x".repeat(10), left: 1 });
  assert.deepEqual(cut("🎉🎉", 3), { text: "🎉", left: 2 });
  assert.equal(cut("y".repeat(1_000_000)).text.length, 100_000);
});
