// Requests a day, from what the page holds.
import { draw } from "./chart.js";

const figure = document.querySelector('[data-chart="daily"]');
const DAY_S = 86400;

function show() {
  const rows = JSON.parse(figure.dataset.days);
  const at = (day) => Date.parse(`${day}T00:00:00Z`) / 1000;
  const first = rows.length ? at(rows[0][0]) : Math.floor(Date.now() / 1000 / DAY_S) * DAY_S;
  const last = Math.max(Math.floor(Date.now() / 1000 / DAY_S) * DAY_S, first);
  const values = Array.from({ length: Math.max(14, (last - first) / DAY_S + 1) }, () => 0);
  const start_s = last - (values.length - 1) * DAY_S;
  for (const [day, requests] of rows) values[(at(day) - start_s) / DAY_S] = requests;
  const name = figure.querySelector("[data-line]").textContent;
  draw(figure, { start_s, span_s: DAY_S, kind: "bars", whole: true, lines: [{ name, values, tone: "tone-1" }] });
}

if (figure) {
  show();
  let settle = null;
  addEventListener("resize", () => {
    clearTimeout(settle);
    settle = setTimeout(show, 120);
  });
}
