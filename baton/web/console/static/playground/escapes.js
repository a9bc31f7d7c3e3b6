// Texts on one line: line ends and other characters without a picture are written as in JSON.

const NAMED = { n: "\n", t: "\t", r: "\r", "\\": "\\", '"': '"', "/": "/", b: "\b", f: "\f" };

/** What a typed line means. A backslash before anything else is a backslash. */
export function unescaped(text) {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|([ntr\\"/bf]))/g, (_, code, letter) =>
    code === undefined ? NAMED[letter] : String.fromCharCode(Number.parseInt(code, 16)));
}

/** The line that means this text: `unescaped(escaped(text)) === text`. */
export function escaped(text) {
  return JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
}
