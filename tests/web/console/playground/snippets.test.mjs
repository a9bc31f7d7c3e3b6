import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { curl, literal, node, python, shell } from "../../../../baton/web/console/static/playground/snippets.js";
import { random } from "./random.mjs";

const PYTHON = process.env.PYTHON ?? "python3";
const ADDRESS = "http://relay.test:8080";
const texts = (seed, count) => {
  const { text } = random(seed);
  return Array.from({ length: count }, () => text(20).replaceAll("\0", ""));
};
const call = (prompt, more = {}) => ({ address: ADDRESS, body: { model: "m", prompt, ...more }, headers: {} });

test("a shell sees exactly the word", () => {
  const words = texts(7, 300);
  const printed = execFileSync("sh", ["-c", `printf '%s\\0' ${words.map(shell).join(" ")}`]).toString();
  assert.deepEqual(printed.split("\0").slice(0, -1), words);
});

test("Python reads exactly the value", () => {
  const value = { texts: texts(8, 300), flag: true, off: false, none: null, number: -1.5e-7, nested: { "a'b": [] } };
  const program = `import json, sys\nsys.stdout.write(json.dumps(${literal(value)}))`;
  const read = execFileSync(PYTHON, ["-I", "-"], { input: program }).toString();
  assert.deepEqual(JSON.parse(read), value);
});

test("curl sends exactly the body, through a real shell", () => {
  for (const prompt of ["it's $HOME `id` \\n", "BATON", "\nBATON\n", '"; rm -rf / #', ...texts(9, 10)]) {
    const made = curl({ ...call(prompt, { stop: ["\n", "'"] }), headers: { "x-baton-strict": "true" } });
    const stand = `curl() { for each in "$@"; do printf '%s\\0' "$each"; done; cat; }\nBATON_KEY=sk-1\n${made}`;
    const [body, ...words] = execFileSync("sh", ["-c", stand]).toString().split("\0").reverse();
    assert.deepEqual(JSON.parse(body), { model: "m", prompt, stop: ["\n", "'"] });
    assert.deepEqual(words.reverse(), [
      `${ADDRESS}/v1/completions`, "-H", "Authorization: Bearer sk-1", "-H", "Content-Type: application/json",
      "-H", "x-baton-strict: true", "--data-binary", "@-",
    ]);
  }
});

test("the Python program is one, and asks for exactly the body", () => {
  const body = { model: "m", prompt: "it's \"quoted\" \u202e \\ 🎉", stream: true, stream_options: { include_usage: true }, logit_bias: { 5: 1 } };
  const stand = `
import os, sys, types, json
os.environ["BATON_KEY"] = "sk-1"
class Completions:
    def create(self, **given):
        print(json.dumps(given)); return []
class OpenAI:
    def __init__(self, base_url, api_key):
        print(json.dumps([base_url, api_key])); self.completions = Completions()
sys.modules["openai"] = types.SimpleNamespace(OpenAI=OpenAI)
`;
  const printed = execFileSync(PYTHON, ["-I", "-"], { input: stand + python({ address: ADDRESS, body, headers: { "x-a": "b" } }) }).toString();
  const [where, given] = printed.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(where, [`${ADDRESS}/v1`, "sk-1"]);
  assert.deepEqual(given, { ...body, extra_headers: { "x-a": "b" } });
});

test("the Node program asks for exactly the body", async () => {
  for (const prompt of ["${process.exit(1)} `x` '\"\\", "\u2028\u202e🎉", ...texts(10, 10)]) {
    const body = { model: "m", prompt, stream: true };
    const made = node({ address: ADDRESS, body, headers: { "x-a": "b" } });
    const asked = [];
    const client = { completions: { create: async (...given) => { asked.push(given); return []; } } };
    const program = made.replace('import OpenAI from "openai";', "");
    const Run = Object.getPrototypeOf(async () => {}).constructor;
    await new Run("OpenAI", "process", program)(function OpenAI() { return client; }, { env: { BATON_KEY: "k" } });
    assert.deepEqual(asked, [[body, { headers: { "x-a": "b" } }]]);
  }
});

test("programs show no character that hides or turns, and never a key", () => {
  for (const made of [curl, python, node].map((each) => each(call("a\u202eb\u200bc\u0085")))) {
    assert.ok(!/[\u202e\u200b\u0085]/.test(made));
    assert.ok(made.includes("BATON_KEY") && !made.includes("sk-"));
  }
});
