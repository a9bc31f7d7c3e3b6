// The overview's charts, drawn from overview/data and renewed when something was answered.
import { draw, short } from "./chart.js";

const board = document.querySelector("[data-overview]");
const ms = (value) => (value === null || value === undefined ? "–" : value >= 1000 ? `${short(value / 1000)} s` : `${short(value)} ms`);
const money = (value) => (!value ? "0" : value >= 0.01 ? short(value) : value.toFixed(9).replace(/(\.\d*?[1-9]\d?)\d*$/, "$1").replace(/0+$/, ""));
const percent = (value) => (value === null || value === undefined ? "–" : `${short(value)} %`);
const CHARTS = {
  requests: { kind: "bars", whole: true, lines: [["requests", "tone-1"], ["failed", "tone-5"]] },
  tokens: { kind: "bars", whole: true, lines: [["prompt", "tone-2"], ["completion", "tone-1"]] },
  money: { kind: "bars", format: money, lines: [["charge", "tone-1"]] },
  first: { kind: "lines", format: ms, lines: [["first50", "tone-1"], ["first95", "tone-3"]] },
  gap: { kind: "lines", format: ms, lines: [["gap50", "tone-1"], ["gap95", "tone-3"]] },
  rates: { kind: "lines", format: percent, lines: [["errors", "tone-5"], ["handoffs", "tone-4"]] },
};
const RENEW_MS = 2000;
let told = null;

function show() {
  for (const figure of board.querySelectorAll("[data-chart]")) {
    const chart = CHARTS[figure.dataset.chart];
    draw(figure, {
      ...chart,
      start_s: told.series.start_s,
      span_s: told.series.span_s,
      lines: chart.lines.map(([name, tone]) => ({
        name: figure.querySelector(`[data-line="${name}"]`).textContent, values: told.series[name], tone,
      })),
    });
  }
  for (const [name, text] of Object.entries(told.tiles)) {
    for (const place of board.querySelectorAll(`[data-tile="${name}"]`)) place.textContent = text;
  }
}

async function renew() {
  const answer = await fetch(board.dataset.source, { headers: { accept: "application/json" } });
  if (!answer.ok || answer.redirected) return;
  told = await answer.json();
  show();
}

let due = null;
let answered = null;
function hear(event) {
  const pulse = JSON.parse(event.data);
  for (const name of ["live", "workers"]) {
    for (const place of board.querySelectorAll(`[data-pulse="${name}"]`)) place.textContent = pulse[name];
  }
  if (answered !== null && pulse.answered !== answered && due === null) {
    // A second later what was answered is in the book.
    due = setTimeout(() => { due = null; renew(); }, RENEW_MS);
  }
  answered = pulse.answered;
}

if (board) {
  renew();
  const source = new EventSource(board.dataset.live);
  const lamp = board.querySelector(".live");
  source.onopen = () => lamp.classList.add("on");
  source.onerror = () => lamp.classList.remove("on");
  source.onmessage = hear;
  addEventListener("pagehide", () => source.close());
  let settle = null;
  addEventListener("resize", () => {
    clearTimeout(settle);
    settle = setTimeout(() => told && show(), 120);
  });
}
