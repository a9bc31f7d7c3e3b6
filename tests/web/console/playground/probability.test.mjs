import assert from "node:assert/strict";
import test from "node:test";

import { bits, level, percent, summary, surprises } from "../../../../baton/web/console/static/playground/probability.js";
import { random } from "./random.mjs";

const unit = (logprob, text = "x") => ({ text, logprob, tokens: [{}] });

test("six levels, from certain to nearly impossible", () => {
  const found = [0.95, 0.6, 0.3, 0.1, 0.02, 0.001].map((each) => level(Math.log(each)));
  assert.deepEqual(found, [0, 1, 2, 3, 4, 5]);
  assert.equal(level(null), null);
  assert.equal(level(-Infinity), 5);
});

test("a likelier token never has a higher level", () => {
  const { next } = random(2);
  for (let round = 0; round < 2000; round += 1) {
    const [one, other] = [-next() * 20, -next() * 20];
    assert.ok(one >= other ? level(one) <= level(other) : level(one) >= level(other));
  }
});

test("percentages are short and true", () => {
  const shown = [1, 0.99999, 0.9996, 0.995, 0.43, 0.0432, 0.0012, 0.00001].map((each) => percent(Math.log(each)));
  assert.deepEqual(shown, ["100 %", "100 %", "99.96 %", "99.5 %", "43 %", "4.3 %", "0.12 %", "< 0.01 %"]);
  assert.equal(percent(null), "–");
});

test("a coin's toss is one bit, a certain token none", () => {
  assert.equal(bits(Math.log(0.5)), 1);
  assert.equal(bits(0), 0);
  assert.equal(bits(null), 0);
});

test("a text's perplexity is that of its scored tokens", () => {
  const found = summary([unit(null), unit(Math.log(0.5)), unit(Math.log(0.125))]);
  assert.equal(found.tokens, 2);
  assert.ok(Math.abs(found.bits - 4) < 1e-9);
  assert.ok(Math.abs(found.perplexity - 4) < 1e-9);
  assert.equal(summary([unit(null)]), null);
});

test("surprises come most surprising first, and certain tokens are none", () => {
  const units = [unit(null), unit(Math.log(0.9)), unit(Math.log(0.1)), unit(Math.log(0.001)), unit(Math.log(0.1))];
  assert.deepEqual(surprises(units, 2), [3, 2]);
  assert.deepEqual(surprises(units, 9), [3, 2, 4]);
});
