// What may be shown of a text that somebody else wrote: characters that steer a terminal, turn the
// reading direction or hide become visible marks, and an endless text is cut. The text itself is
// never changed by this: copies and requests have every character.

/** Characters of one text that a page lays out; beyond it a browser becomes slow. */
export const SHOWN_MAX = 100_000;

const STEERING =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

/** @param {string} text */
export function visible(text) {
  return text.replace(STEERING, mark);
}

/** A token by itself: also its spaces and line ends are to be seen. */
export function spelled(text) {
  return text === "" ? "∅" : visible(text).replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
}

/** What fits, and how many characters are left out. Never half of a character. */
export function cut(text, most = SHOWN_MAX) {
  if (text.length <= most) return { text, left: 0 };
  const end = isHigh(text.charCodeAt(most - 1)) ? most - 1 : most;
  return { text: text.slice(0, end), left: text.length - end };
}

function mark(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
  return `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

function isHigh(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}
