// When an answer came, as numbers and as places on a strip. Times are milliseconds since the call
// began; null is what has not come.

/** Marks of one choice that are drawn: more are closer together than a pixel. */
const MARKS_MAX = 600;
/** Pieces after the first one that tell something of a speed. */
const GAPS_LEAST = 3;
/** Choices that have a lane of their own. */
export const LANES_MAX = 8;

/** The times of one call, written down while it runs. */
export class Trace {
  constructor() {
    this.headers = null;
    this.first = null;
    this.end = null;
    /** @type {Map<number, number[]>} Times of each choice's pieces. */
    this.pieces = new Map();
  }

  piece(index, at) {
    this.first ??= at;
    if (!this.pieces.has(index)) this.pieces.set(index, []);
    this.pieces.get(index).push(at);
  }

  get last() {
    const found = [...this.pieces.values()].map((times) => times.at(-1));
    return found.length ? Math.max(...found) : null;
  }
}

/** What the times say. `tokens`: how many were generated, where usage told it. */
export function figures(trace, tokens = null) {
  const gaps = [...trace.pieces.values()].flatMap((times) => times.slice(1).map((at, before) => at - times[before]));
  gaps.sort((one, other) => one - other);
  const spent = trace.first === null ? 0 : trace.last - trace.first;
  // An answer that came in a few pieces was not sent as it was generated.
  const rate = tokens !== null && gaps.length >= GAPS_LEAST && spent > 0 ? ((tokens - 1) / spent) * 1000 : null;
  return {
    headers: trace.headers,
    first: trace.first,
    end: trace.end,
    typical: quantile(gaps, 0.5),
    slow: quantile(gaps, 0.95),
    rate,
  };
}

function quantile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
}

/**
 * Places on a strip `width` wide: what was waited for, the lanes of pieces, and a scale below.
 * Everything lies within the strip, whatever the times were.
 */
export function strip(trace, width) {
  const whole = Math.max(trace.end ?? 0, trace.last ?? 0, trace.headers ?? 0, 1);
  const place = (at) => Math.min(width, Math.max(0, (at / whole) * width));
  const bands = [];
  const band = (name, from, to) => {
    if (to !== null && from !== null && to > from) bands.push({ name, x: place(from), width: place(to) - place(from) });
  };
  band("headers", 0, trace.headers ?? trace.end);
  band("first", trace.headers, trace.first ?? trace.end);
  band("tokens", trace.first, trace.last);
  band("tail", trace.last, trace.end);
  const lanes = [...trace.pieces.entries()]
    .sort(([one], [other]) => one - other)
    .slice(0, LANES_MAX)
    .map(([index, times]) => ({ index, marks: thinned(times).map(place) }));
  return { whole, bands, lanes, ticks: ticks(whole).map((at) => ({ at, x: place(at) })) };
}

function thinned(times) {
  const step = Math.ceil(times.length / MARKS_MAX);
  return times.filter((_, at) => at % step === 0);
}

/** Three to seven round times from 0 on. */
export function ticks(whole) {
  const rough = whole / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  return Array.from({ length: Math.floor(whole / step + 1e-9) + 1 }, (_, at) => at * step);
}

/** "48 ms", "1.25 s". */
export function duration(ms) {
  if (ms === null) return "–";
  if (ms === 0) return "0";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
