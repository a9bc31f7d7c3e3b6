// The answer on the page: one column a choice, grown as it comes. What an upstream or a caller wrote
// goes into text nodes alone, with what would steer a page made visible (visible.js), and no more
// of it than a browser can lay out. Drawing waits for the next frame, so that a fast stream draws a
// frame's worth at once.

import { echoed } from "./answer.js";
import { escaped } from "./escapes.js";
import { percent, summary } from "./probability.js";
import { focusToken, tokenElement } from "./tokens.js";
import { SHOWN_MAX, cut, visible } from "./visible.js";

/** Characters of prefix and suffix that are shown around a middle. */
const AROUND_MAX = 400;
/** Tokens that are drawn of one choice: each is an element. */
const TOKENS_MAX = 6000;

export class Results {
  /** @param {HTMLElement} root @param {Record<string, string>} texts */
  constructor(root, texts) {
    this.root = root;
    this.texts = texts;
    this.columns = [];
    this.dirty = new Set();
    this.frame = 0;
  }

  /** A new call: everything that was shown goes. `form` is what was asked. */
  begin(form, body, answer) {
    this.form = form;
    this.body = body;
    this.answer = answer;
    this.columns = [];
    this.ended = null;
    this.root.replaceChildren();
    this.dirty.clear();
  }

  changed(indices) {
    for (const index of indices) this.dirty.add(index);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** The call is over. `kind` as in call.js. */
  end(kind) {
    this.ended = kind;
    this.changed(this.answer.choices.map((each) => each.index));
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    for (const index of [...this.dirty].sort((one, other) => one - other)) {
      for (let next = this.columns.length; next <= index; next += 1) this.#open(next);
      this.#grow(this.columns[index], this.answer.choice(index));
    }
    this.dirty.clear();
  }

  /** The unit that an element of ours stands for. */
  unit(element) {
    const column = this.columns[Number(element.closest(".answer")?.dataset.index)];
    return column ? this.answer.choice(column.index).units[Number(element.dataset.at)] : undefined;
  }

  focus(index, at) {
    const element = this.columns[index]?.text.querySelector(`.token[data-at="${at}"]`);
    if (element) focusToken(element);
  }

  #open(index) {
    const n = this.body.n ?? 1;
    const column = { index, drawn: 0, letters: 0, marked: false, prompt: Math.floor(index / n) };
    const element = document.createElement("section");
    element.className = "answer";
    element.dataset.index = String(index);
    element.setAttribute("aria-labelledby", `answer-${index}`);
    const head = document.createElement("header");
    column.name = span("name", this.#name(index, n));
    column.name.id = `answer-${index}`;
    column.facts = span("facts");
    head.append(column.name, column.facts, this.#copy(index));
    column.text = document.createElement("div");
    column.text.className = "text";
    column.text.dir = "auto";
    element.append(head, ...this.#around(column));
    this.root.append(element);
    this.columns.push(column);
  }

  #name(index, n) {
    if (this.form.mode === "surprise") return this.texts.prompt;
    if (!Array.isArray(this.body.prompt)) return this.texts.choice.replace("{}", String(index + 1));
    const prompt = this.texts.promptNumber.replace("{}", String(Math.floor(index / n) + 1));
    return n > 1 ? `${prompt} · ${this.texts.choice.replace("{}", String((index % n) + 1))}` : prompt;
  }

  /** Where a middle is wanted, the ends of what is around it; else the beginning of its prompt. */
  #around(column) {
    if (this.form.mode === "fill") {
      const { prefix, suffix } = this.form.texts;
      const whole = document.createElement("div");
      whole.className = "filled";
      whole.append(span("given", visible(prefix.slice(-AROUND_MAX))), column.text, span("given", visible(suffix.slice(0, AROUND_MAX))));
      return [whole];
    }
    if (this.form.mode !== "batch") return [column.text];
    const prompt = document.createElement("p");
    prompt.className = "given";
    prompt.textContent = visible(cut(this.body.prompt[column.prompt] ?? "", AROUND_MAX).text);
    return [prompt, column.text];
  }

  #grow(column, choice) {
    const letters = this.#echo(column);
    const end = Math.min(choice.units.length, TOKENS_MAX);
    const fragment = document.createDocumentFragment();
    const prompt = letters === 0 ? 0 : echoed(choice.units, letters);
    for (; column.drawn < end && column.letters < SHOWN_MAX; column.drawn += 1) {
      const unit = choice.units[column.drawn];
      const fits = cut(unit.text, SHOWN_MAX - column.letters);
      column.letters += fits.text.length;
      const element = unit.tokens.length ? tokenElement({ ...unit, text: fits.text }, column.drawn) : span("piece", visible(fits.text));
      if (column.drawn < prompt) element.classList.add("echo");
      fragment.append(element);
    }
    if (fragment.firstElementChild?.classList.contains("token")) this.#listed(column, fragment.firstElementChild);
    column.text.append(fragment);
    this.#mark(column, choice);
    this.#facts(column, choice);
  }

  /** Letters of the prompt that the answer begins with; none where the prompt itself is looked at. */
  #echo(column) {
    if (!this.body.echo || this.form.mode === "surprise") return 0;
    const prompt = Array.isArray(this.body.prompt) ? this.body.prompt[column.prompt] : this.body.prompt;
    return [...prompt].length;
  }

  #listed(column, first) {
    if (column.text.hasAttribute("role")) return;
    column.text.setAttribute("role", "listbox");
    column.text.setAttribute("aria-label", this.texts.tokens);
    first.tabIndex = 0;
  }

  /** How the choice ended, at the place where it did. */
  #mark(column, choice) {
    const [text, title, kind] = this.#ending(choice);
    if (text === null || column.marked) return;
    column.marked = true;
    const hidden = choice.text.length - column.letters;
    if (hidden > 0) column.text.after(span("more", this.texts.more.replace("{}", hidden.toLocaleString())));
    const mark = span(`ending ${kind}`, text);
    mark.title = title;
    if (this.form.mode === "fill") column.text.after(mark);
    else column.text.parentElement.append(mark);
  }

  #ending(choice) {
    const { texts } = this;
    if (this.form.mode === "surprise" && choice.finish) return [null, "", ""];
    const stops = [this.body.stop ?? []].flat();
    if (choice.finish === "stop" && stops.length) {
      const shown = stops.map((each) => visible(escaped(each)));
      return [`■ ${shown.join(" | ")}`, texts.endedStop, "stop"];
    }
    if (choice.finish === "stop") return [`■ ${texts.endedItself}`, texts.endedItselfLong, "stop"];
    if (choice.finish === "length") return [`▸ ${texts.endedLength}`, texts.endedLengthLong, "length"];
    if (choice.finish) return [`■ ${visible(choice.finish)}`, "", "stop"];
    if (this.ended === null) return [null, "", ""];
    return [this.ended === "stopped" ? `✋ ${texts.endedByHand}` : `⚠ ${texts.endedBroken}`, "", "broken"];
  }

  #facts(column, choice) {
    const letters = this.#echo(column);
    const found = summary(choice.units.slice(letters ? echoed(choice.units, letters) : 0));
    if (found === null) return;
    const count = this.texts.tokenCount.replace("{}", String(found.tokens));
    column.facts.textContent = `${count} · ⌀ ${percent(-Math.log(found.perplexity))}`;
    column.facts.title = this.texts.factsLong;
  }

  #copy(index) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet copy";
    button.textContent = this.texts.copy;
    button.addEventListener("click", () => copied(button, this.answer.choice(index).text, this.texts));
    return button;
  }
}

/** Copy a text, and say on the button whether it worked. */
export async function copied(button, text, texts) {
  const said = button.dataset.said ?? button.textContent;
  button.dataset.said = said;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = texts.copied;
  } catch {
    button.textContent = texts.copyFailed; // no permission, or no secure address
  }
  setTimeout(() => { button.textContent = said; }, 1500);
}

export function span(name, text = "") {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}
