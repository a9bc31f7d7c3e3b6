// The form: what stands in it as a state, a state put into it, and what is wrong at which field.

import { FIELDS } from "./request.js";
import { PROMPTS_MAX } from "./saved.js";

const TEXTS = ["prompt", "prefix", "suffix"];
const SWITCHES = ["strict", "deterministic"];

export class Form {
  /** @param {HTMLFormElement} element @param {Record<string, string>} texts */
  constructor(element, texts) {
    this.element = element;
    this.texts = texts;
    this.prompts = element.querySelector("#prompts");
    this.state = null;
    element.querySelector("#add-prompt").addEventListener("click", () => {
      this.#addPrompt("");
      this.prompts.lastElementChild.querySelector("textarea").focus();
      this.element.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }

  get mode() {
    return this.element.elements.mode.value;
  }

  /** What the form says now, with the values of the ways to ask that are not shown. */
  read() {
    const { state } = this;
    state.model = this.#field("model").value.trim();
    for (const name of TEXTS) state.texts[name] = this.element.querySelector(`#${name}`).value;
    state.texts.prompts = [...this.prompts.querySelectorAll("textarea")].map((each) => each.value);
    state.values[state.mode] = this.#values();
    if (state.mode !== this.mode) {
      state.mode = this.mode;
      this.#show();
    }
    return state;
  }

  write(state) {
    this.state = state;
    this.#field("model").value = state.model;
    for (const name of TEXTS) this.element.querySelector(`#${name}`).value = state.texts[name];
    this.prompts.replaceChildren();
    for (const prompt of state.texts.prompts) this.#addPrompt(prompt);
    this.element.elements.mode.value = state.mode;
    this.#show();
  }

  /** Fields whose problem stands beside them; all others are well. */
  problems(problems) {
    for (const name of [...FIELDS, "prompt", "suffix"]) {
      const problem = problems.find((each) => each.field === name);
      const hint = this.element.querySelector(`#hint-${name}`);
      const input = this.control(name);
      if (!hint || !input) continue;
      hint.textContent = problem ? problem.text ?? this.#sentence(problem) : hint.dataset.hint ?? "";
      hint.classList.toggle("bad", Boolean(problem));
      input.setAttribute("aria-invalid", String(Boolean(problem)));
    }
  }

  /** Where a field of the request is typed in; null for one that has no place. */
  control(name) {
    if (name === "stream_options") return this.#field("include_usage");
    if (name === "prompt") {
      const shown = { complete: "#prompt", surprise: "#prompt", fill: "#prefix", batch: "#prompts textarea" };
      return this.element.querySelector(shown[this.mode]);
    }
    if (name === "suffix") return this.element.querySelector("#suffix");
    return FIELDS.includes(name) ? this.#field(name) : null;
  }

  #values() {
    const found = {};
    for (const name of [...FIELDS, ...SWITCHES]) {
      const input = this.#field(name);
      if (!input || name === "model") continue;
      if (input.type === "checkbox") {
        if (input.checked) found[name] = true;
      } else if (input.value !== "") {
        found[name] = input.value;
      }
    }
    return found;
  }

  #show() {
    const { mode, values } = this.state;
    for (const name of [...FIELDS, ...SWITCHES]) {
      const input = this.#field(name);
      if (!input || name === "model") continue;
      if (input.type === "checkbox") input.checked = values[mode][name] === true;
      else input.value = values[mode][name] ?? "";
    }
    for (const part of this.element.querySelectorAll("[data-modes]")) {
      part.hidden = !part.dataset.modes.split(" ").includes(mode);
    }
  }

  #addPrompt(text) {
    if (this.prompts.children.length >= PROMPTS_MAX) return;
    const row = document.createElement("div");
    row.className = "prompt-row";
    const area = document.createElement("textarea");
    area.rows = 2;
    area.spellcheck = false;
    area.value = text;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet";
    remove.textContent = "×";
    remove.addEventListener("click", () => {
      if (this.prompts.children.length > 1) row.remove();
      this.#number();
      this.element.dispatchEvent(new Event("input", { bubbles: true }));
    });
    row.append(area, remove);
    this.prompts.append(row);
    this.#number();
  }

  #number() {
    [...this.prompts.children].forEach((row, at) => {
      const name = this.texts.promptNumber.replace("{}", String(at + 1));
      row.querySelector("textarea").setAttribute("aria-label", name);
      row.querySelector("button").setAttribute("aria-label", this.texts.remove.replace("{}", name));
    });
  }

  #field(name) {
    return this.element.querySelector(`[data-field="${name}"]`);
  }

  #sentence({ code, limit }) {
    return (this.texts[`problem.${code}`] ?? code).replace("{}", String(limit ?? ""));
  }
}
