import assert from "node:assert/strict";
import test from "node:test";

import { escaped, unescaped } from "../../../../baton/web/console/static/playground/escapes.js";
import { FIELDS, MODES, biases, build, stops } from "../../../../baton/web/console/static/playground/request.js";
import { random } from "./random.mjs";

const range = (kind, least, most) => ({ kind, least, most });
const RANGES = {
  max_tokens: range("integer", 0, 1000), temperature: range("number", 0, 2), top_p: range("number", 0, 1),
  n: range("integer", 1, 128), best_of: range("integer", 0, 20), logprobs: range("integer", 0, 20),
  seed: range("integer", null, null), presence_penalty: range("number", -2, 2),
  frequency_penalty: range("number", -2, 2), stop: range("text", null, 3),
};
const TEXTS = { prompt: "P", prefix: "A", suffix: "Z", prompts: ["one", "two"] };
const asked = (mode, values) => build({ mode, texts: TEXTS, values: { model: "m", ...values } }, RANGES);

test("only what was filled in is sent, in the contract's order", () => {
  const { body, problems } = asked("complete", { temperature: "0.5", max_tokens: " 16 ", n: "", stream: true });
  assert.equal(JSON.stringify(body), '{"model":"m","prompt":"P","max_tokens":16,"temperature":0.5,"stream":true}');
  assert.deepEqual(problems, []);
});

test("each way to ask sends its own texts", () => {
  assert.deepEqual(asked("fill", {}).body, { model: "m", prompt: "A", suffix: "Z" });
  assert.deepEqual(asked("batch", {}).body, { model: "m", prompt: ["one", "two"] });
  const looked = asked("surprise", { n: "3", stream: true, include_usage: true, stop: "x", logprobs: "2" }).body;
  assert.deepEqual(looked, { model: "m", prompt: "P", max_tokens: 0, echo: true, logprobs: 2 });
});

test("what is out of range is told at its field, and sent all the same", () => {
  const { body, problems } = asked("complete", { temperature: "9", n: "0", max_tokens: "1.5" });
  assert.deepEqual([body.temperature, body.n, body.max_tokens], [9, 0, 1.5]);
  assert.deepEqual(problems.map(({ field, code }) => [field, code]), [["max_tokens", "integer"], ["temperature", "above"], ["n", "below"]]);
  assert.ok(problems.every((each) => !each.fatal));
});

test("what cannot be written as JSON is not sent", () => {
  const { body, problems } = asked("complete", { temperature: "warm", logit_bias: "fifty: 1" });
  assert.ok(!("temperature" in body) && !("logit_bias" in body));
  assert.deepEqual(problems.map(({ field, fatal }) => [field, fatal]), [["temperature", true], ["logit_bias", true]]);
});

test("fields that do not go together are told", () => {
  const codes = (values, mode = "complete") => asked(mode, values).problems.map((each) => each.code);
  assert.deepEqual(codes({ n: "3", best_of: "2" }), ["best_of_below_n"]);
  assert.deepEqual(codes({ best_of: "2", stream: true }), ["best_of_streamed"]);
  assert.deepEqual(codes({ echo: true }, "fill"), ["echo_and_suffix"]);
  assert.deepEqual(build({ mode: "complete", texts: TEXTS, values: {} }, RANGES).problems[0].code, "missing");
});

test("usage in a stream is asked for only where there is a stream", () => {
  assert.deepEqual(asked("complete", { stream: true, include_usage: true }).body.stream_options, { include_usage: true });
  assert.equal(asked("complete", { include_usage: true }).body.stream_options, undefined);
});

test("stops: one a line, escapes as in JSON, each once, and no more than allowed", () => {
  assert.deepEqual(stops("\\n\\n\nEND\r\n\nEND\n\\u003b"), ["\n\n", "END", ";"]);
  assert.deepEqual(asked("complete", { stop: "a\nb\nc\nd" }).problems[0], { field: "stop", code: "many", limit: 3, fatal: false });
});

test("biases by line, comma or JSON", () => {
  const expected = { 50256: -100, 7: 0.5 };
  for (const text of ["50256: -100\n7: 0.5", "50256=-100, 7=0.5", '{"50256": -100, "7": 0.5}']) assert.deepEqual(biases(text), expected);
  assert.deepEqual(biases(" "), {});
  for (const text of ["a: 1", "1", "1: x", "1: 2 3"]) assert.equal(biases(text), null);
});

test("a text on one line means the text again, whatever it is", () => {
  const { text } = random(5);
  for (let round = 0; round < 3000; round += 1) {
    const one = text();
    assert.equal(unescaped(escaped(one)), one);
    assert.ok(!escaped(one).includes("\n"));
  }
  assert.equal(unescaped("C:\\dir\\x"), "C:\\dir\\x");
});

test("any form gives a body that is JSON, with the contract's fields alone", () => {
  const { text, pick, next } = random(6);
  const names = new Set([...FIELDS, "prompt", "suffix", "stream_options"]);
  for (let round = 0; round < 2000; round += 1) {
    const values = Object.fromEntries(FIELDS.map((name) =>
      [name, ["stream", "echo", "include_usage"].includes(name) ? next() < 0.5 : pick(["", "1", "-3", "0.5", "1e9", text()])]));
    const { body, problems } = build({ mode: pick(MODES), texts: { ...TEXTS, prompt: text() }, values }, RANGES);
    assert.deepEqual(JSON.parse(JSON.stringify(body)), body);
    assert.ok(Object.keys(body).every((name) => names.has(name)));
    assert.ok(problems.every(({ field }) => names.has(field)));
  }
});
