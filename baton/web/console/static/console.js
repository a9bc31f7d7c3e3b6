// What every page of the console has: copying, confirming, times in the reader's zone.
// Texts go into pages by textContent alone.

/** The session's mark, shown with whatever changes something. */
export const mark = document.querySelector('meta[name="baton-csrf"]')?.content ?? "";

/** An element with attributes and children (strings become texts). */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const before = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = before; }, 1500);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  const button = form.querySelector("button[data-busy]");
  if (button) {
    button.textContent = button.dataset.busy;
    button.disabled = true;
  }
});

for (const range of document.querySelectorAll("input[type=range][data-output]")) {
  const output = document.getElementById(range.dataset.output);
  range.addEventListener("input", () => { output.textContent = range.value; });
}

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString(document.documentElement.lang);
}
