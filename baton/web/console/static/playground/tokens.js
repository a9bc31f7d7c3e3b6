// Tokens on the page: coloured by probability, each with its alternatives in one card that opens by
// pointer, by touch and by keyboard. One token of a text is in the tab order; arrows go on from it.

import { bits, level, percent } from "./probability.js";
import { spelled, visible } from "./visible.js";

const KEYS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 };

/** The element of one unit. `choice` and `at` find it again. */
export function tokenElement(unit, at) {
  const element = document.createElement("span");
  const found = level(unit.logprob);
  element.className = found === null ? "token" : `token level-${found}`;
  element.setAttribute("role", "option");
  element.setAttribute("aria-label", `${spelled(unit.text)} ${percent(unit.logprob)}`);
  element.tabIndex = -1;
  element.dataset.at = String(at);
  if (unit.text.includes("\n")) element.classList.add("ends-line");
  element.textContent = visible(unit.text);
  return element;
}

/** The one card of the page. `find` gives the unit of an element. */
export class Card {
  constructor(element, find, texts) {
    this.element = element;
    this.find = find;
    this.texts = texts;
    this.shown = null;
    element.addEventListener("pointerleave", (event) => this.#left(event));
  }

  /** Let it open for the tokens within. */
  watch(root) {
    const token = (event) => event.target.closest?.(".token") ?? null;
    root.addEventListener("pointerover", (event) => token(event) && this.show(token(event)));
    root.addEventListener("pointerout", (event) => this.#left(event));
    root.addEventListener("focusin", (event) => token(event) && this.show(token(event)));
    root.addEventListener("focusout", () => this.hide());
    root.addEventListener("keydown", (event) => this.#key(event, token(event)));
  }

  show(element) {
    const unit = this.find(element);
    if (!unit || this.shown === element) return;
    this.hide();
    this.shown = element;
    element.classList.add("open");
    element.setAttribute("aria-describedby", this.element.id);
    this.element.replaceChildren(...this.#content(unit));
    this.element.hidden = false;
    this.#place(element);
  }

  hide() {
    this.shown?.classList.remove("open");
    this.shown?.removeAttribute("aria-describedby");
    this.shown = null;
    this.element.hidden = true;
  }

  #left(event) {
    const to = event.relatedTarget;
    if (to instanceof Node && (this.element.contains(to) || this.shown?.contains(to))) return;
    if (document.activeElement !== this.shown) this.hide();
  }

  #key(event, element) {
    if (!element) return;
    if (event.key === "Escape") return this.hide();
    const all = [...element.parentElement.querySelectorAll(".token")];
    const here = all.indexOf(element);
    const goal = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : here + (KEYS[event.key] ?? 0);
    const next = all[Math.min(all.length - 1, Math.max(0, goal))];
    if (next === element) return;
    event.preventDefault();
    focusToken(next);
  }

  #place(element) {
    const box = element.getClientRects()[0] ?? element.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const below = box.bottom + 8 + height <= window.innerHeight || box.top < height + 16;
    const left = Math.min(Math.max(8, box.left - 12), Math.max(8, window.innerWidth - width - 8));
    this.element.style.left = `${left}px`;
    this.element.style.top = `${below ? box.bottom + 6 : box.top - height - 6}px`;
  }

  #content(unit) {
    const head = div("card-head");
    head.append(div("card-token", spelled(unit.text)), div("card-percent", percent(unit.logprob)));
    const parts = [head];
    if (unit.logprob !== null) {
      const told = `${this.texts.logprob} ${unit.logprob.toFixed(3)} · ${bits(unit.logprob).toFixed(2)} ${this.texts.bits}`;
      parts.push(div("card-note", told));
    } else {
      parts.push(div("card-note", this.texts.unscored));
    }
    for (const token of unit.tokens) {
      if (unit.tokens.length > 1) parts.push(div("card-part", `${spelled(token.text)} ${percent(token.logprob)}`));
      if (token.top.length) parts.push(this.#alternatives(token));
    }
    return parts;
  }

  #alternatives(token) {
    const list = document.createElement("ul");
    list.setAttribute("aria-label", this.texts.alternatives);
    const all = token.top.some((each) => each.text === token.text) || token.logprob === null
      ? token.top : [...token.top, token];
    for (const each of all) {
      const row = document.createElement("li");
      const bar = document.createElement("span");
      bar.className = `meter level-${level(each.logprob)}`;
      bar.style.width = `${Math.max(1, Math.exp(each.logprob) * 100)}%`;
      const track = document.createElement("span");
      track.className = "track";
      track.append(bar);
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = spelled(each.text);
      const value = document.createElement("span");
      value.className = "value";
      value.textContent = percent(each.logprob);
      if (each.text === token.text) row.className = "chosen";
      row.append(name, track, value);
      list.append(row);
    }
    return list;
  }
}

/** Put the focus on a token and make it the one in the tab order. */
export function focusToken(element) {
  for (const each of element.parentElement.querySelectorAll('.token[tabindex="0"]')) each.tabIndex = -1;
  element.tabIndex = 0;
  element.focus();
}

function div(name, text = "") {
  const element = document.createElement("div");
  element.className = name;
  element.textContent = text;
  return element;
}
