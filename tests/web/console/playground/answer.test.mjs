import assert from "node:assert/strict";
import test from "node:test";

import { Answer, echoed } from "../../../../baton/web/console/static/playground/answer.js";
import { random } from "./random.mjs";

const scored = (...texts) => ({
  tokens: texts,
  token_logprobs: texts.map(() => -1),
  top_logprobs: texts.map((text) => ({ other: -2, [text]: -1 })),
  text_offset: texts.map((_, at) => at),
});
const part = (text, more = {}) => ({ choices: [{ index: 0, text, logprobs: null, finish_reason: null, ...more }] });
const bytesOf = (text) => [...new TextEncoder().encode(text)].map((byte) => `bytes:\\x${byte.toString(16).padStart(2, "0")}`);

test("chunks of several choices, mixed, become texts by index", () => {
  const answer = new Answer();
  assert.deepEqual(answer.add({ choices: [{ index: 1, text: "b" }, { index: 0, text: "a" }] }), [1, 0]);
  answer.add({ choices: [{ index: 1, text: "B", finish_reason: "stop" }] });
  assert.deepEqual(answer.choices.map((each) => [each.text, each.finish]), [["a", null], ["bB", "stop"]]);
});

test("usage, id and fingerprint are kept; the last usage holds", () => {
  const answer = new Answer();
  answer.add({ id: "cmpl-1", system_fingerprint: "fp", usage: null, choices: [] });
  answer.add({ usage: { prompt_tokens: 1 }, choices: [] });
  assert.deepEqual([answer.id, answer.fingerprint, answer.usage], ["cmpl-1", "fp", { prompt_tokens: 1 }]);
});

test("tokens have their alternatives, most likely first", () => {
  const answer = new Answer();
  answer.add(part("hi", { logprobs: scored("hi") }));
  assert.deepEqual(answer.choices[0].units[0].tokens[0].top, [{ text: "hi", logprob: -1 }, { text: "other", logprob: -2 }]);
});

test("a character spread over tokens is one unit, however it is chunked", () => {
  const { below, pick } = random(3);
  for (let round = 0; round < 300; round += 1) {
    const text = Array.from({ length: 1 + below(5) }, () => pick(["🎉", "补", "é", "a", " "])).join("");
    const pieces = [...text].flatMap((each) => (each.length === 1 && each < "\u0080" ? [each] : bytesOf(each)));
    const answer = new Answer();
    for (let at = 0; at < pieces.length;) {
      const count = 1 + below(3);
      answer.add(part("", { logprobs: scored(...pieces.slice(at, at + count)) }));
      at += count;
    }
    answer.end();
    const { units } = answer.choices[0];
    assert.equal(units.map((each) => each.text).join(""), text);
    assert.equal(units.length, [...text].length);
    assert.equal(units.reduce((sum, each) => sum + each.tokens.length, 0), pieces.length);
  }
});

test("bytes that never become a character are shown as one mark", () => {
  for (const finish of [true, false]) {
    const answer = new Answer();
    answer.add(part("", { logprobs: scored("bytes:\\xe4", "bytes:\\xbd"), finish_reason: finish ? "length" : null }));
    answer.end();
    assert.deepEqual(answer.choices[0].units.map((each) => each.text), ["�"]);
  }
  const endless = new Answer();
  for (let round = 0; round < 100; round += 1) endless.add(part("", { logprobs: scored("bytes:\\xff") }));
  assert.ok(endless.choices[0].units.length >= 10);
});

test("without logprobs a chunk's text is a unit that nobody scored", () => {
  const answer = new Answer();
  answer.add(part("ab"));
  answer.add(part(""));
  assert.deepEqual(answer.choices[0].units.map((each) => [each.text, each.logprob]), [["ab", null]]);
});

test("an echoed prompt ends at its letters", () => {
  const answer = new Answer();
  answer.add(part("abc", { logprobs: scored("a", "b", "c") }));
  assert.equal(echoed(answer.choices[0].units, 2), 2);
  assert.equal(echoed(answer.choices[0].units, 9), 3);
});

test("names that mean something to JavaScript are only texts", () => {
  const answer = new Answer();
  const chunk = JSON.parse('{"choices":[{"index":0,"text":"x","logprobs":{"tokens":["__proto__"],"token_logprobs":[-1],"top_logprobs":[{"__proto__":-1,"constructor":-2}],"text_offset":[0]}}]}');
  answer.add(chunk);
  assert.deepEqual(answer.choices[0].units[0].tokens[0].top.map((each) => each.text), ["__proto__", "constructor"]);
});
