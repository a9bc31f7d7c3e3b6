import assert from "node:assert/strict";
import test from "node:test";

import { FIELDS, MODES } from "../../../../baton/web/console/static/playground/request.js";
import { LINK_MAX, fresh, fromLink, restored, toLink } from "../../../../baton/web/console/static/playground/saved.js";
import { random } from "./random.mjs";

test("a link carries the whole state, whatever the texts", () => {
  const { text, pick } = random(11);
  for (let round = 0; round < 500; round += 1) {
    const state = fresh("m");
    state.mode = pick(MODES);
    state.texts = { prompt: text(), prefix: text(), suffix: text(), prompts: [text(), text()] };
    state.values.complete.stop = text();
    const link = toLink(state);
    assert.match(link, /^#play=[\w-]+$/);
    assert.deepEqual(fromLink(link), state);
  }
});

test("a state that is too long for a link makes none", () => {
  const state = fresh("m");
  state.texts.prompt = "x".repeat(LINK_MAX);
  assert.equal(toLink(state), null);
});

test("what is no link is none", () => {
  for (const hash of ["", "#", "#content", "#play=", "#play=%%%", "#play=AAAA", `#play=${"A".repeat(100_000)}`]) {
    assert.equal(fromLink(hash), null);
  }
});

test("whatever is found, every part has its right type and no name is taken that is not known", () => {
  const { pick, text, below } = random(12);
  const value = (depth) => pick([
    () => null, () => 7, () => true, () => text(), () => [],
    () => (depth ? Array.from({ length: below(4) }, () => value(depth - 1)) : []),
    () => (depth ? Object.fromEntries(["mode", "texts", "values", "prompt", "prompts", "complete", "stream", "stop", "__proto__"]
      .map((name) => [name, value(depth - 1)])) : {}),
  ])();
  const names = new Set([...FIELDS, "strict", "deterministic"]);
  for (let round = 0; round < 2000; round += 1) {
    const state = restored(JSON.parse(JSON.stringify(value(4))), "m");
    assert.ok(MODES.includes(state.mode) && typeof state.model === "string");
    assert.ok(["prompt", "prefix", "suffix"].every((name) => typeof state.texts[name] === "string"));
    assert.ok(state.texts.prompts.length >= 1 && state.texts.prompts.every((each) => typeof each === "string"));
    for (const mode of MODES) assert.ok(Object.keys(state.values[mode]).every((name) => names.has(name)));
  }
});

test("a key that stands in a link is not taken", () => {
  const link = toLink({ ...fresh("m"), key: "sk-secret", values: { complete: { key: "sk-secret", user: "u" } } });
  assert.ok(!JSON.stringify(fromLink(link)).includes("sk-secret"));
});
