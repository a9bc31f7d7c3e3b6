// The search in the guide: an index of all passages, fetched from this server when somebody first looks
// for something, searched here. What is found is only ever put into text nodes.

const SHOWN_MAX = 12;
const SNIPPET_CHARS = 110;
const PAUSE_MS = 120;

const box = document.querySelector(".search");
if (box) begin(box);

function begin(box) {
  const input = box.querySelector("input");
  const found = box.querySelector(".found");
  let index = null;
  let timer = 0;
  box.hidden = false;
  const look = async () => {
    const words = terms(input.value);
    found.hidden = words.length === 0;
    if (found.hidden) return;
    try {
      index ??= load(box.dataset.index);
      show(box, found, rank(await index, words), words);
    } catch {
      index = null;
      say(found, box.dataset.failed);
    }
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE_MS);
  });
  input.addEventListener("focus", look);
  box.addEventListener("keydown", (event) => move(event, box, input, found));
  document.addEventListener("click", (event) => {
    if (!box.contains(event.target)) found.hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
}

async function load(address) {
  const response = await fetch(address, { credentials: "omit" });
  if (!response.ok) throw new Error(String(response.status));
  const entries = await response.json();
  return entries.map((entry) => ({
    ...entry,
    parts: [entry.title, entry.heading, entry.text].map((part) => part.toLowerCase()),
  }));
}

/** Words in lower case; a run of Chinese characters is looked for as it is written. */
export function terms(text) {
  return [...new Set(text.toLowerCase().match(/[\p{Script=Han}]+|[^\s\p{Script=Han}]+/gu) ?? [])].slice(0, 8);
}

/** Entries that have all the words, the best first: a word in a title tells more than one in the text. */
export function rank(index, words) {
  return index
    .map((entry) => ({ entry, score: score(entry.parts, words) }))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score)
    .slice(0, SHOWN_MAX)
    .map(({ entry }) => entry);
}

function score([title, heading, text], words) {
  let sum = 0;
  for (const word of words) {
    const told = 12 * has(heading, word) + (heading ? 5 : 15) * has(title, word) + Math.min(text.split(word).length - 1, 4);
    if (told === 0) return 0;
    sum += told;
  }
  return sum;
}

function has(text, word) {
  return text.includes(word) ? 1 : 0;
}

function show(box, found, entries, words) {
  say(found, entries.length ? box.dataset.found.replace("{}", entries.length) : box.dataset.none);
  found.querySelector("ol").replaceChildren(...entries.map((entry) => item(box, entry, words)));
}

function say(found, text) {
  found.hidden = false;
  found.querySelector("ol").replaceChildren();
  found.querySelector("p").textContent = text;
}

function item(box, entry, words) {
  const link = document.createElement("a");
  const name = document.createElement("strong");
  const text = document.createElement("span");
  link.href = `${box.dataset.root}${entry.page}${box.dataset.lang}#${entry.at}`;
  name.textContent = entry.heading ? `${entry.title} › ${entry.heading}` : entry.title;
  text.append(...marked(snippet(entry.text, words), words));
  link.append(name, text);
  const line = document.createElement("li");
  line.append(link);
  return line;
}

/** The surroundings of the first word that is there. */
function snippet(text, words) {
  const lower = text.toLowerCase();
  const at = Math.min(...words.map((word) => lower.indexOf(word)).filter((place) => place >= 0), text.length);
  const from = at === text.length ? 0 : Math.max(0, at - SNIPPET_CHARS / 3);
  const cut = text.slice(from, from + SNIPPET_CHARS);
  return (from ? "…" : "") + cut + (from + SNIPPET_CHARS < text.length ? "…" : "");
}

/** Text nodes, and a mark around each word. */
function marked(text, words) {
  const lower = text.toLowerCase();
  const nodes = [];
  for (let at = 0; at < text.length; ) {
    const next = words
      .map((word) => ({ word, place: lower.indexOf(word, at) }))
      .filter(({ place }) => place >= 0)
      .sort((one, other) => one.place - other.place)[0];
    nodes.push(text.slice(at, next ? next.place : text.length));
    if (!next) break;
    const mark = document.createElement("mark");
    at = next.place + next.word.length;
    mark.textContent = text.slice(next.place, at);
    nodes.push(mark);
  }
  return nodes;
}

/** Arrow keys walk through what was found, Escape leaves. */
function move(event, box, input, found) {
  if (event.key === "Escape") {
    found.hidden = true;
    input.focus();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const links = [...found.querySelectorAll("a")];
  if (event.key === "Enter" && event.target === input && links.length) links[0].click();
  if (!step || !links.length) return;
  event.preventDefault();
  const at = links.indexOf(document.activeElement) + step;
  (at < 0 ? input : links[Math.min(at, links.length - 1)]).focus();
}
