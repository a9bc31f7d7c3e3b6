// What the pages do beyond being read: copy an example, and try a call with a key.
// What comes back is only ever put into text nodes. The key lives in its field and nowhere else.

import { events } from "./sse.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  const said = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.closest("figure").querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(code);
      button.textContent = button.dataset.copy;
    } catch {
      button.textContent = button.dataset.failed; // no permission, or no secure address
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

const form = document.querySelector("form.try");
if (form) begin(form);

function begin(form) {
  const state = form.querySelector(".state");
  const answer = form.querySelector(".answer");
  const [send, stop] = form.querySelectorAll(".buttons button");
  let controller = null;
  form.hidden = false;
  stop.addEventListener("click", () => controller?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    controller = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    answer.replaceChildren();
    say(state, form.dataset.sending);
    try {
      const started = performance.now();
      const response = await fetch(address(form), request(form, controller.signal));
      const whole = await show(form, response, answer);
      const seconds = ((performance.now() - started) / 1000).toFixed(2);
      const said = whole ? form.dataset.done : form.dataset.cut;
      say(state, `${response.status} · ${said} · ${seconds} s`, !response.ok || !whole);
    } catch (error) {
      const stopped = error.name === "AbortError";
      say(state, stopped ? form.dataset.stopped : form.dataset.failed, !stopped);
    } finally {
      send.disabled = false;
      stop.disabled = true;
    }
  });
}

function say(state, text, bad = false) {
  state.textContent = text;
  state.classList.toggle("bad", bad);
}

function address(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "path") {
      path = path.replace(`{${field.dataset.name}}`, encodeURIComponent(field.value));
    } else if (field.value) {
      query.set(field.dataset.name, field.value);
    }
  }
  const asked = query.toString();
  return form.dataset.root + path.slice(1) + (asked ? `?${asked}` : "");
}

function request(form, signal) {
  const headers = {};
  const key = form.elements.namedItem("bearer");
  const body = form.elements.namedItem("body");
  if (key) headers.Authorization = `Bearer ${key.value.trim()}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: form.dataset.method, headers, signal, credentials: "omit", cache: "no-store" };
  return body ? { ...options, body: body.value } : options;
}

/** Whether the answer came to its proper end. */
async function show(form, response, answer) {
  if ((response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    return stream(form, response.body, answer);
  }
  const text = await response.text();
  answer.append(readable(text));
  return true;
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function stream(form, body, answer) {
  const choices = new Map();
  for await (const data of events(body)) {
    if (data === "[DONE]") return true;
    const chunk = JSON.parse(data);
    if (chunk.error) {
      answer.append(chunk.error.message);
      return false;
    }
    for (const choice of chunk.choices) {
      if (!choices.has(choice.index)) choices.set(choice.index, place(form, answer, choice.index));
      choices.get(choice.index).append(choice.text);
    }
  }
  return false;
}

function place(form, answer, index) {
  const paragraph = document.createElement("p");
  const name = document.createElement("span");
  paragraph.className = "choice";
  name.className = "name";
  name.textContent = form.dataset.choice.replace("{}", index);
  paragraph.append(name);
  answer.append(paragraph);
  return paragraph;
}
