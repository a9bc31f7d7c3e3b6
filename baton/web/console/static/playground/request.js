// From what stands in the form to the body of POST /v1/completions, and what is wrong with it.
//
// Only what was filled in is sent. A value out of its range is told at its field and sent all the
// same, so that the server's own answer can be seen; what cannot be written as JSON at all is not.

import { unescaped } from "./escapes.js";

/** Ways to ask; each has fields of its own. */
export const MODES = ["complete", "fill", "surprise", "batch"];

/** The contract's fields in its order; prompt and suffix are texts of their own. */
export const FIELDS = [
  "model", "max_tokens", "temperature", "top_p", "n", "best_of", "stream", "include_usage", "stop", "echo",
  "logprobs", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user",
];

/** What a way to ask begins with; everything else is left to the server. */
export const PRESETS = {
  complete: { max_tokens: "64", temperature: "0.8", logprobs: "5", stream: true, include_usage: true },
  fill: { max_tokens: "24", temperature: "0.7", stream: true, include_usage: true },
  surprise: { logprobs: "5" },
  batch: { max_tokens: "48", temperature: "0.8", logprobs: "5", stream: true, include_usage: true },
};

const NUMBERS = [
  "max_tokens", "temperature", "top_p", "n", "best_of", "logprobs", "seed", "presence_penalty", "frequency_penalty",
];

/**
 * @param {{mode: string, texts: {prompt: string, prefix: string, suffix: string, prompts: string[]}, values: object}} form
 * @param {Record<string, {kind: string, least: number|null, most: number|null}>} ranges
 * @returns {{body: object, problems: {field: string, code: string, limit?: number, fatal: boolean}[]}}
 */
export function build(form, ranges) {
  const problems = [];
  const body = { model: form.values.model ?? "", prompt: prompt(form) };
  if (body.model === "") problems.push({ field: "model", code: "missing", fatal: false });
  if (form.mode === "fill" && form.texts.suffix !== "") body.suffix = form.texts.suffix;
  for (const name of NUMBERS) number(name, form.values[name], ranges[name], body, problems);
  lists(form.values, ranges, body, problems);
  if (form.values.user) body.user = form.values.user;
  if (form.values.echo) body.echo = true;
  if (form.values.stream) body.stream = true;
  if (form.values.stream && form.values.include_usage) body.stream_options = { include_usage: true };
  if (form.mode === "surprise") surprise(body);
  together(body, problems);
  return { body: ordered(body), problems };
}

function prompt(form) {
  if (form.mode === "batch") return [...form.texts.prompts];
  return form.mode === "fill" ? form.texts.prefix : form.texts.prompt;
}

/** What says how to generate means nothing where nothing is generated. */
const UNUSED = [
  "n", "best_of", "stream", "stream_options", "stop", "temperature", "top_p", "seed", "presence_penalty",
  "frequency_penalty", "logit_bias",
];

/** The prompt itself is looked at: nothing is generated, and the answer is one piece. */
function surprise(body) {
  for (const name of UNUSED) delete body[name];
  body.max_tokens = 0;
  body.echo = true;
  body.logprobs ??= 5;
}

function number(name, typed, range, body, problems) {
  const text = (typed ?? "").trim();
  if (text === "") return;
  const value = Number(text);
  if (!Number.isFinite(value)) {
    problems.push({ field: name, code: "number", fatal: true });
    return;
  }
  body[name] = value;
  if (range.kind === "integer" && !Number.isInteger(value)) {
    problems.push({ field: name, code: "integer", fatal: false });
  } else if (range.least !== null && value < range.least) {
    problems.push({ field: name, code: "below", limit: range.least, fatal: false });
  } else if (range.most !== null && value > range.most) {
    problems.push({ field: name, code: "above", limit: range.most, fatal: false });
  }
}

function lists(values, ranges, body, problems) {
  const stop = stops(values.stop ?? "");
  if (stop.length) body.stop = stop;
  if (ranges.stop && stop.length > ranges.stop.most) {
    problems.push({ field: "stop", code: "many", limit: ranges.stop.most, fatal: false });
  }
  const bias = biases(values.logit_bias ?? "");
  if (bias === null) problems.push({ field: "logit_bias", code: "bias", fatal: true });
  else if (Object.keys(bias).length) body.logit_bias = bias;
}

function together(body, problems) {
  if (body.best_of !== undefined && body.best_of < (body.n ?? 1)) {
    problems.push({ field: "best_of", code: "best_of_below_n", fatal: false });
  }
  if (body.stream && body.best_of > (body.n ?? 1)) {
    problems.push({ field: "best_of", code: "best_of_streamed", fatal: false });
  }
  if (body.echo && body.suffix) problems.push({ field: "echo", code: "echo_and_suffix", fatal: false });
}

/** One stop a line, with escapes as in JSON: `\n` is a line end. Empty lines are none. */
export function stops(text) {
  const found = text.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line !== "").map(unescaped);
  return [...new Set(found)].filter((each) => each !== "");
}

/** `token id: bias` a line (or separated by commas, or JSON); null where it cannot be read. */
export function biases(text) {
  const entries = text.replace(/^\s*\{|\}\s*$/g, "").split(/[\n,]/).map((each) => each.trim()).filter(Boolean);
  const found = {};
  for (const entry of entries) {
    const parts = /^"?(\d+)"?\s*[:=\s]\s*([-+]?\d+(?:\.\d+)?)$/.exec(entry);
    if (!parts) return null;
    found[parts[1]] = Number(parts[2]);
  }
  return found;
}

const ORDER = [
  "model", "prompt", "suffix", "max_tokens", "temperature", "top_p", "n", "best_of", "stream", "stream_options", "stop",
  "echo", "logprobs", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user",
];

function ordered(body) {
  return Object.fromEntries(ORDER.filter((name) => body[name] !== undefined).map((name) => [name, body[name]]));
}
