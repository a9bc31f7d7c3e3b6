// The two pictures of the page, as SVG: when an answer came, and how surprising a text's tokens are.

import { bits, level } from "./probability.js";
import { duration, strip } from "./trace.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const BAND_HEIGHT = 12;
const LANE_HEIGHT = 14;
/** Bars of a surprise picture: more are thinner than a pixel. */
const BARS_MAX = 500;
const BARS_HEIGHT = 80;

/** The strip of one call, with its scale. `label` says in words what it shows. */
export function latencyStrip(trace, label) {
  const plan = strip(trace, WIDTH);
  const lanes = Math.max(1, plan.lanes.length);
  const height = BAND_HEIGHT + lanes * LANE_HEIGHT + 6;
  const svg = picture(height, label);
  for (const band of plan.bands) {
    svg.append(shape("rect", { class: `band ${band.name}`, x: band.x, y: 0, width: band.width, height: BAND_HEIGHT }));
  }
  for (const tick of plan.ticks) {
    svg.append(shape("line", { class: "tick", x1: tick.x, x2: tick.x, y1: 0, y2: height }));
  }
  plan.lanes.forEach((lane, row) => {
    const top = BAND_HEIGHT + 4 + row * LANE_HEIGHT;
    const path = lane.marks.map((x) => `M${x.toFixed(1)} ${top}v${LANE_HEIGHT - 5}`).join("");
    svg.append(shape("path", { class: `lane lane-${row % 4}`, d: path }));
  });
  const scale = document.createElement("div");
  scale.className = "scale";
  for (const tick of plan.ticks) {
    const text = document.createElement("span");
    text.textContent = duration(tick.at);
    text.style.left = `${(tick.x / WIDTH) * 100}%`;
    // The last one would stick out of the strip.
    if (tick.x > WIDTH * 0.93) text.classList.add("last");
    scale.append(text);
  }
  return [svg, scale];
}

/** A bar for each unit, as high as it is surprising. */
export function surpriseBars(units, label) {
  const step = Math.max(1, Math.ceil(units.length / BARS_MAX));
  const found = [];
  for (let at = 0; at < units.length; at += step) {
    const some = units.slice(at, at + step);
    found.push(some.reduce((most, unit) => ((unit.logprob ?? 0) < (most.logprob ?? 0) ? unit : most)));
  }
  const most = Math.max(4, ...found.map((unit) => bits(unit.logprob)));
  const svg = picture(BARS_HEIGHT, label);
  const width = WIDTH / Math.max(found.length, 12);
  found.forEach((unit, at) => {
    const height = Math.max(1, (bits(unit.logprob) / most) * BARS_HEIGHT);
    svg.append(shape("rect", {
      class: `meter level-${level(unit.logprob) ?? "none"}`, x: at * width + width * 0.1, y: BARS_HEIGHT - height, width: width * 0.8, height,
    }));
  });
  return svg;
}

function picture(height, label) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", label);
  svg.style.height = `${height}px`;
  return svg;
}

function shape(name, values) {
  const element = document.createElementNS(SVG, name);
  for (const [each, value] of Object.entries(values)) element.setAttribute(each, String(value));
  return element;
}
