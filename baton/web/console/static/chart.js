// Charts as SVG: stacked bars and lines over time. draw(figure, data) fills a <figure data-chart>.
// Colours are classes of the sheet; texts go in by textContent.

const EDGE = { right: 8, top: 10, bottom: 22 };
const CHARACTER = 6.4;
const HEIGHT = 180;

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** 1234 → 1.23k; small ones keep three digits. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  for (const [step, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= step) return trimmed(value / step) + letter;
  }
  return trimmed(value);
}

function trimmed(value) {
  return Number(value.toPrecision(3)).toString();
}

/** A round number at or above the largest value, and its thirds or quarters. */
export function ticks(largest, whole) {
  if (!(largest > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(largest));
  let top = [1, 2, 3, 4, 5, 6, 8, 10].map((one) => one * power).find((one) => one >= largest * 0.9999);
  if (whole && top < 2) top = 2;
  const parts = [4, 3, 2, 5].find((one) => !whole || Number.isInteger(top / one)) ?? 1;
  return Array.from({ length: parts + 1 }, (_, index) => (top * index) / parts);
}

function label(at_s, span_s, language) {
  const at = new Date(at_s * 1000);
  if (span_s >= 86400) return at.toLocaleDateString(language, { month: "short", day: "numeric" });
  const time = at.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false });
  if (span_s < 3600) return time;
  return `${at.toLocaleDateString(language, { month: "short", day: "numeric" })} ${time}`;
}

/**
 * lines: [{ name, values, tone }]; kind "bars" stacks them, "lines" does not.
 * format(value) writes a value of the axis and of the tip.
 */
export function draw(figure, { start_s, span_s, kind, lines, format = short, whole = false }) {
  const language = document.documentElement.lang;
  const width = Math.max(260, figure.querySelector(".plot").clientWidth);
  const count = lines[0].values.length;
  const sums = Array.from({ length: count }, (_, index) => {
    const values = lines.map((line) => line.values[index] ?? 0);
    return kind === "bars" ? values.reduce((a, b) => a + b, 0) : Math.max(...values);
  });
  const marks = ticks(Math.max(...sums, 0), whole);
  const top = marks[marks.length - 1];
  const SPACE = { ...EDGE, left: 14 + CHARACTER * Math.max(...marks.map((mark) => format(mark).length)) };
  const inner = width - SPACE.left - SPACE.right;
  const x = (index) => SPACE.left + ((index + 0.5) * inner) / count;
  const y = (value) => SPACE.top + (HEIGHT - SPACE.top - SPACE.bottom) * (1 - value / top);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" });
  for (const mark of marks) {
    drawing.append(svg("line", { class: "rule", x1: SPACE.left, x2: width - SPACE.right, y1: y(mark), y2: y(mark) }));
    drawing.append(svg("text", { class: "axis end", x: SPACE.left - 6, y: y(mark) + 4 }, format(mark)));
  }
  const places = Math.max(2, Math.min(6, Math.floor(inner / 90)));
  for (let place = 0; place < places; place++) {
    const index = Math.round((place * (count - 1)) / (places - 1));
    const side = place === 0 ? "start" : place === places - 1 ? "end" : "middle";
    const at = side === "start" ? SPACE.left : side === "end" ? width - SPACE.right : x(index);
    drawing.append(svg("text", { class: `axis ${side}`, x: at, y: HEIGHT - 5 }, label(start_s + index * span_s, span_s, language)));
  }
  (kind === "bars" ? bars : paths)(drawing, lines, { count, inner, x, y });
  const rule = svg("line", { class: "cross", y1: SPACE.top, y2: HEIGHT - SPACE.bottom, x1: 0, x2: 0, visibility: "hidden" });
  drawing.append(rule);
  figure.querySelector(".plot").replaceChildren(drawing);
  point(figure, drawing, rule, { start_s, span_s, lines, format, language, count, inner, x, SPACE });
}

function bars(drawing, lines, { count, inner, x, y }) {
  const wide = Math.max(1, (inner / count) * 0.76);
  for (let index = 0; index < count; index++) {
    let below = 0;
    for (const line of lines) {
      const value = line.values[index] ?? 0;
      if (!value) continue;
      const tall = Math.max(0.75, y(below) - y(below + value));
      drawing.append(svg("rect", { class: `fill ${line.tone}`, x: x(index) - wide / 2, y: y(below) - tall, width: wide, height: tall, rx: Math.min(1.5, wide / 4) }));
      below += value;
    }
  }
}

function paths(drawing, lines, { x, y }) {
  for (const line of lines) {
    let path = "";
    let open = false;
    line.values.forEach((value, index) => {
      if (value === null) { open = false; return; }
      path += `${open ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      if (!open && (line.values[index + 1] ?? null) === null) {
        drawing.append(svg("circle", { class: `fill ${line.tone}`, cx: x(index), cy: y(value), r: 2.25 }));
      }
      open = true;
    });
    drawing.append(svg("path", { class: `line ${line.tone}`, d: path }));
  }
}

function point(figure, drawing, rule, { start_s, span_s, lines, format, language, count, inner, x, SPACE }) {
  const tip = figure.querySelector(".tip");
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * (inner + SPACE.left + SPACE.right) - SPACE.left;
    const index = Math.min(count - 1, Math.max(0, Math.floor((at / inner) * count)));
    rule.setAttribute("x1", x(index));
    rule.setAttribute("x2", x(index));
    rule.setAttribute("visibility", "visible");
    const head = document.createElement("strong");
    head.textContent = label(start_s + index * span_s, span_s, language);
    tip.replaceChildren(head, ...lines.map((line) => {
      const row = document.createElement("span");
      row.textContent = `${line.name} ${format(line.values[index])}`;
      return row;
    }));
    tip.hidden = false;
    tip.style.left = `${Math.min(box.width - 150, Math.max(0, event.clientX - box.left + 12))}px`;
  });
  drawing.addEventListener("pointerleave", () => {
    tip.hidden = true;
    rule.setAttribute("visibility", "hidden");
  });
}
