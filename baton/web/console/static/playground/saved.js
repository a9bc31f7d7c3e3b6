// What a reload keeps, and what a link carries. Prompts may be secret: they go into the tab's own
// storage, which ends with the tab, and into a link only when somebody asks for one. Whatever is
// read back may have been written by anybody: only texts and switches of known names are taken.

import { FIELDS, MODES, PRESETS } from "./request.js";

/** Characters of a link: browsers and chats cut longer ones. */
export const LINK_MAX = 16_000;
export const PROMPTS_MAX = 64;
const FLAGS = ["stream", "include_usage", "echo", "strict", "deterministic"];
const PREFIX = "#play=";

/** What somebody finds who comes for the first time. */
export const EXAMPLES = {
  prompt: "The lighthouse keeper opened the letter, and",
  prefix: "def mean(numbers):\n    total = ",
  suffix: "\n    return total / len(numbers)\n",
  prompts: ["The capital of France is", "The opposite of hot is", "Two plus two is"],
};

/** What a page begins with. */
export function fresh(model = "") {
  return {
    mode: "complete",
    model,
    texts: { prompt: "", prefix: "", suffix: "", prompts: ["", ""] },
    values: Object.fromEntries(MODES.map((mode) => [mode, { ...PRESETS[mode] }])),
  };
}

/** A state of which every part has the right type, whatever was found. */
export function restored(found, model = "") {
  const state = fresh(model);
  if (!isRecord(found)) return state;
  if (MODES.includes(found.mode)) state.mode = found.mode;
  if (typeof found.model === "string" && found.model !== "") state.model = found.model;
  const given = isRecord(found.texts) ? found.texts : {};
  for (const name of ["prompt", "prefix", "suffix"]) {
    if (typeof given[name] === "string") state.texts[name] = given[name];
  }
  if (Array.isArray(given.prompts)) {
    const prompts = given.prompts.filter((each) => typeof each === "string").slice(0, PROMPTS_MAX);
    if (prompts.length) state.texts.prompts = prompts;
  }
  for (const mode of MODES) {
    const values = isRecord(found.values) ? found.values[mode] : null;
    if (isRecord(values)) state.values[mode] = known(values);
  }
  return state;
}

function known(values) {
  const found = {};
  for (const name of FIELDS) {
    if (name !== "model" && !FLAGS.includes(name) && typeof values[name] === "string") found[name] = values[name];
  }
  for (const name of FLAGS) {
    if (values[name] === true) found[name] = true;
  }
  return found;
}

/** The part of an address behind `#`; null where it would be too long. It never leaves the browser. */
export function toLink(state) {
  const bytes = new TextEncoder().encode(JSON.stringify(state));
  if (bytes.length > LINK_MAX) return null;
  const letters = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return PREFIX + letters.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The state of a link; null where there is none, or none that can be read. */
export function fromLink(hash, model = "") {
  if (!hash.startsWith(PREFIX) || hash.length > 2 * LINK_MAX) return null;
  try {
    const letters = atob(hash.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return restored(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)), model);
  } catch {
    return null;
  }
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
