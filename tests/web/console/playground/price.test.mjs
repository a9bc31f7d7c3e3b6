import assert from "node:assert/strict";
import test from "node:test";

import { charge, dollars } from "../../../../baton/web/console/static/playground/price.js";

const PRICE = { input_pico: 150_000, cached_input_pico: null, output_pico: 600_000, request_nano: 5, details: null };
const usage = (prompt, completion, cached = 0) => ({
  prompt_tokens: prompt, completion_tokens: completion, prompt_tokens_details: { cached_tokens: cached },
});

test("tokens times price, rounded once, half up", () => {
  assert.equal(charge(usage(10, 3), PRICE), 3305n);
  assert.equal(charge(usage(1, 0), { ...PRICE, input_pico: 499, request_nano: 0 }), 0n);
  assert.equal(charge(usage(1, 0), { ...PRICE, input_pico: 500, request_nano: 0 }), 1n);
});

test("cached tokens have their own price, and never more than there are", () => {
  const price = { ...PRICE, cached_input_pico: 0, request_nano: 0 };
  assert.equal(charge(usage(10, 0, 4), price), 900n);
  assert.equal(charge(usage(10, 0, 99), price), 0n);
});

test("no usage or no price: no charge is claimed", () => {
  assert.equal(charge(null, PRICE), null);
  assert.equal(charge(usage(1, 1), null), null);
});

test("dollars have as many decimals as they need", () => {
  assert.deepEqual([0n, 1n, 1_230_000n, 5_000_000_000n, -2_500_000_000n].map(dollars),
    ["$0.00", "$0.000000001", "$0.00123", "$5.00", "-$2.50"]);
});
