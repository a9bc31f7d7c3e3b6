// The playground: what is typed becomes a call, what comes becomes a picture of it.
//
// The parts are modules of their own; here they are put together. What is typed stays in this tab
// (sessionStorage) until it is closed. A key that is typed in stays in its field and nowhere else.

import { events } from "../sse.js";
import { Answer } from "./answer.js";
import { call, credential } from "./call.js";
import { latencyStrip, surpriseBars } from "./drawing.js";
import { fault } from "./fault.js";
import { Form } from "./form.js";
import { charge, dollars } from "./price.js";
import { bits, summary, surprises } from "./probability.js";
import { build } from "./request.js";
import { Results, copied, span } from "./results.js";
import { EXAMPLES, fresh, fromLink, restored, toLink } from "./saved.js";
import { curl, node, python } from "./snippets.js";
import { Card } from "./tokens.js";
import { Trace, duration, figures } from "./trace.js";
import { cut, spelled, visible } from "./visible.js";

const STORED = "baton.playground";
const SAVE_MS = 400;
/** Where the parameters stand below the prompt (playground.css). */
const NARROW = "(max-width: 60rem)";
const PREVIEW_MAX = 20_000;
const CHUNKS_KEPT = 400;
/** Characters of a fact that take more room than one column. */
const LONG = 20;
const COLUMNS_MAX = 4;
const SURPRISES_SHOWN = 8;
const PROGRAMS = { curl, python, node };
const HEADERS_SHOWN = ["x-request-id", "x-baton-upstream", "x-baton-fills", "x-baton-ignored", "openai-processing-ms"];

const element = document.querySelector("#play");
const find = (selector) => document.querySelector(selector);
const texts = JSON.parse(element.dataset.texts);
const ranges = JSON.parse(element.dataset.ranges);
const models = new Map(JSON.parse(element.dataset.models).map((each) => [each.name, each]));
const form = new Form(element, texts);
const results = new Results(find("#answers"), texts);
const card = new Card(find("#card"), (token) => results.unit(token), texts);

let running = null;
let saving = 0;
let last = { chunks: [], left: 0, body: null };

begin();

function begin() {
  form.write(found());
  if (matchMedia(NARROW).matches) for (const each of document.querySelectorAll(".knob")) each.open = false;
  card.watch(results.root);
  element.addEventListener("input", typed);
  element.addEventListener("change", typed);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  find("#stop").addEventListener("click", () => running?.abort());
  find("#link").addEventListener("click", (event) => shareLink(event.currentTarget));
  find("#reset").addEventListener("click", reset);
  find("#copy-code").addEventListener("click", (event) => copied(event.currentTarget, program(), texts));
  for (const radio of document.querySelectorAll('[name="view"]')) radio.addEventListener("change", shown);
  for (const radio of document.querySelectorAll('[name="program"]')) radio.addEventListener("change", showProgram);
  find("#other-key").addEventListener("change", otherKey);
  window.addEventListener("pagehide", save);
  typed();
  shown();
  find("#loading").remove();
  element.hidden = false;
  standing();
}

/** From a link somebody made, else what this tab had, else an example. */
function found() {
  const model = element.dataset.model;
  const linked = fromLink(location.hash, model);
  if (linked) {
    // The prompt would stay in the browser's history otherwise.
    history.replaceState(null, "", location.pathname + location.search);
    return linked;
  }
  try {
    const kept = sessionStorage.getItem(STORED);
    if (kept) return restored(JSON.parse(kept), model);
  } catch {
    // No storage, or what was in it is not ours: begin anew.
  }
  return { ...fresh(model), texts: structuredClone(EXAMPLES) };
}

function typed() {
  const { body, problems } = build(asked(), ranges);
  form.problems(problems);
  find("#run").disabled = running !== null || problems.some((each) => each.fatal);
  element.dataset.mode = form.mode;
  clearTimeout(saving);
  saving = setTimeout(save, SAVE_MS);
  if (find("#code").open) showProgram();
  return { body, problems };
}

function asked() {
  const state = form.read();
  return { mode: state.mode, texts: state.texts, values: { ...state.values[state.mode], model: state.model } };
}

function save() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(form.read()));
  } catch {
    // Too large for the tab's storage, or none: it is lost with a reload.
  }
}

function reset() {
  form.write({ ...fresh(element.dataset.model), texts: structuredClone(EXAMPLES), mode: form.mode });
  typed();
}

function shareLink(button) {
  const link = toLink(form.read());
  if (link === null) {
    button.textContent = texts.linkTooLong;
    return;
  }
  copied(button, location.origin + location.pathname + link, texts);
}

// The call

function headers(form) {
  const found = {};
  if (form.values.strict) found["x-baton-strict"] = "true";
  if (form.values.deterministic) found["x-baton-deterministic"] = "true";
  return found;
}

function who() {
  return credential({ key: find("#other-key").value.trim(), mark: element.dataset.mark });
}

async function run() {
  if (running) return;
  const { body, problems } = typed();
  if (problems.some((each) => each.fatal)) return;
  const asking = structuredClone(asked());
  const answer = new Answer();
  const trace = new Trace();
  running = new AbortController();
  last = { chunks: [], left: 0, body, answer, trace, response: null };
  results.begin(asking, body, answer);
  results.root.dataset.columns = String(Math.min(columns(body), COLUMNS_MAX));
  shown();
  busy(true);
  const began = performance.now();
  const end = await call(
    { address: `${element.dataset.root}v1/completions`, credential: who(), body, headers: headers(asking), signal: running.signal },
    {
      head: (response, at) => {
        trace.headers = at;
        last.response = response;
        say(texts.streaming);
      },
      chunk: (chunk, at) => took(chunk, at),
    },
    { fetch: (...given) => fetch(...given), now: () => performance.now(), events },
  );
  trace.end = performance.now() - began;
  answer.end();
  running = null;
  results.end(end.kind);
  results.draw();
  busy(false);
  told(end);
  after();
  standing();
}

/** How many choices belong side by side: a prompt's samples, else the prompts. */
function columns({ n = 1, prompt }) {
  return n > 1 ? n : Array.isArray(prompt) ? prompt.length : 1;
}

function took(chunk, at) {
  for (const part of chunk.choices ?? []) {
    if (part.text || part.logprobs?.tokens?.length) last.trace.piece(part.index, at);
  }
  if (last.chunks.length < CHUNKS_KEPT) last.chunks.push(chunk);
  else last.left += 1;
  results.changed(last.answer.add(chunk));
}

function busy(on) {
  find("#run").disabled = on;
  find("#stop").disabled = !on;
  find("#output").hidden = false;
  find("#output").setAttribute("aria-busy", String(on));
  if (on) {
    find("#after").hidden = true;
    if (matchMedia(NARROW).matches) find("#output").scrollIntoView({ block: "start" });
    card.hide();
    find("#fault").hidden = true;
    say(texts.waiting);
  }
}

function say(text, bad = false) {
  find("#state").textContent = text;
  find("#state").classList.toggle("bad", bad);
}

/** How it ended, in a sentence; where it did not end well, whose fault it is and at which field. */
function told(end) {
  const took = duration(last.trace.end);
  if (end.kind === "whole") return say(`${texts.done} · ${took}`);
  if (end.kind === "stopped") return say(`${texts.stopped} · ${took}`);
  const found = fault(end);
  say(`${end.status && end.kind === "refused" ? `${end.status} · ` : ""}${texts[`fault.${found.fault}`]}`, true);
  const place = find("#fault");
  const parts = [span("whose", texts[`fault.${found.fault}`])];
  if (found.message) parts.push(span("message", visible(cut(found.message, 2000).text)));
  const wait = found.waitMs === null ? null : `${texts.again} ${duration(found.waitMs)}`;
  const notes = [found.code, wait, last.response?.headers.get("x-request-id")];
  parts.push(span("note", visible(notes.filter(Boolean).join(" · "))), ...atField(found));
  place.replaceChildren(...parts);
  place.hidden = false;
}

/** The field at fault is marked, and a button leads to it. */
function atField({ field, message }) {
  const name = field?.replace(/[.[].*$/, "");
  const control = name ? form.control(name) : null;
  if (!control) return [];
  form.problems([{ field: name, text: visible(cut(message ?? "", 300).text) }]);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet small";
  button.textContent = `${texts.field}: ${name}`;
  button.addEventListener("click", () => {
    control.closest("details")?.setAttribute("open", "");
    control.focus();
  });
  return [button];
}

// What is told of a call when it is over

function after() {
  const came = last.answer.choices.length > 0;
  find("#output").hidden = !came;
  find("#after").hidden = !came;
  if (!came) return;
  drawLatency();
  drawUsage();
  drawSurprise();
  if (find('[name="view"]:checked').value === "json") showJson();
}

function drawLatency() {
  const { trace, answer } = last;
  const each = figures(trace, answer.usage?.completion_tokens ?? null);
  const facts = [
    [texts.timeHeaders, duration(each.headers)],
    [texts.timeFirst, duration(each.first)],
    [texts.timeTypical, duration(each.typical)],
    [texts.timeSlow, duration(each.slow)],
    [texts.timeEnd, duration(each.end)],
    [texts.rate, each.rate === null ? "–" : `${each.rate.toFixed(1)} ${texts.rateUnit}`],
  ];
  const label = facts.map(([name, value]) => `${name}: ${value}`).join(", ");
  find("#latency").replaceChildren(...latencyStrip(trace, label));
  fill("#latency-facts", facts);
}

function drawUsage() {
  const { usage } = last.answer;
  const price = models.get(last.body.model)?.price ?? null;
  const cost = charge(usage, price);
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const facts = [];
  if (usage) {
    facts.push([texts.promptTokens, cached ? `${usage.prompt_tokens} (${cached} ${texts.cached})` : `${usage.prompt_tokens}`]);
    facts.push([texts.completionTokens, `${usage.completion_tokens}`]);
    facts.push([texts.totalTokens, `${usage.total_tokens}`]);
  } else {
    facts.push([texts.promptTokens, texts.usageUnknown]);
  }
  facts.push([texts.price, cost === null ? texts.priceUnknown : dollars(cost)]);
  if (usage?.baton?.handoffs) facts.push([texts.handoffs, `${usage.baton.handoffs}`]);
  for (const name of HEADERS_SHOWN) {
    const value = last.response?.headers.get(name);
    if (value) facts.push([name, visible(value)]);
  }
  if (last.answer.fingerprint) facts.push(["system_fingerprint", visible(String(last.answer.fingerprint))]);
  fill("#usage-facts", facts);
}

function drawSurprise() {
  const place = find("#surprise");
  const units = last.answer.choices[0]?.units ?? [];
  const found = summary(units);
  place.hidden = form.mode !== "surprise" || found === null;
  if (place.hidden) return;
  fill("#surprise-facts", [
    [texts.tokens, `${found.tokens}`],
    [texts.perplexity, found.perplexity.toFixed(2)],
    [texts.bitsPerToken, found.bitsPerToken.toFixed(2)],
    [texts.bitsPerCharacter, found.bitsPerCharacter === null ? "–" : found.bitsPerCharacter.toFixed(2)],
    [texts.bitsTotal, found.bits.toFixed(1)],
  ]);
  find("#surprise-bars").replaceChildren(surpriseBars(units, texts.surpriseLabel));
  find("#surprises").replaceChildren(...surprises(units, SURPRISES_SHOWN).map((at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.append(span("name", spelled(cut(units[at].text, 40).text)), span("value", `${bits(units[at].logprob).toFixed(1)} ${texts.bits}`));
    button.addEventListener("click", () => results.focus(0, at));
    return button;
  }));
}

function fill(selector, facts) {
  find(selector).replaceChildren(...facts.map(([name, value]) => {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    if (value.length > LONG) row.className = "long";
    row.append(term, told);
    return row;
  }));
}

// Views

function shown() {
  const view = find('[name="view"]:checked').value;
  find("#answers").classList.toggle("plain", view === "text");
  find("#answers").hidden = view === "json";
  find("#legend").hidden = view !== "tokens" || last.body?.logprobs === undefined;
  find("#json").hidden = view !== "json";
  if (view === "json") showJson();
}

function showJson() {
  const given = last.chunks.map((chunk) => JSON.stringify(chunk, null, last.chunks.length > 1 ? 0 : 2)).join("\n");
  const whole = `${JSON.stringify(last.body ?? {}, null, 2)}\n\n${given}`;
  const { text, left } = cut(whole, PREVIEW_MAX * 5);
  find("#json code").textContent = visible(text) + (left || last.left ? "\n…" : "");
}

function program() {
  const asking = asked();
  const { body } = build(asking, ranges);
  const name = find('[name="program"]:checked').value;
  return PROGRAMS[name]({ address: element.dataset.address, body, headers: headers(asking) });
}

function showProgram() {
  const { text, left } = cut(program(), PREVIEW_MAX);
  find("#code code").textContent = left ? `${text}\n…` : text;
}

find("#code").addEventListener("toggle", () => find("#code").open && showProgram());

// Whose key

/** What is left for whoever asks; nothing is said where that cannot be told. */
async function standing() {
  const place = find("#standing");
  try {
    const answer = await fetch(`${element.dataset.root}v1/key`, { ...who(), cache: "no-store" });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error.message);
    const left = found.remaining_nano === null ? "" : `${dollars(BigInt(found.remaining_nano))} ${texts.left}`;
    const name = find("#other-key").value ? visible(cut(found.name, 80).text) : "";
    place.textContent = [name, left].filter(Boolean).join(" · ");
    place.classList.remove("bad");
  } catch {
    place.textContent = texts.keyUnusable;
    place.classList.add("bad");
  }
}

async function otherKey() {
  standing();
  try {
    const answer = await fetch(`${element.dataset.root}v1/models`, { ...who(), cache: "no-store" });
    if (!answer.ok) return;
    const list = find("#models");
    list.replaceChildren(...(await answer.json()).data.map((each) => {
      const option = document.createElement("option");
      option.value = each.id;
      return option;
    }));
  } catch {
    // The models that were known stay.
  }
}

