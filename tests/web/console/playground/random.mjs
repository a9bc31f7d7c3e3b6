// Reproducible randomness for loops over many cases: the seed is the test's own.

const LETTERS = ["a", "b", " ", "\n", "\t", "\\", "'", '"', "`", "$", "{", "}", "<", ">", "&", "/", "n", "u", "0",
  "é", "补", "🎉", "\u202e", "\u001b", "\u0000", "\u2028", "\u200b", "%", "#", "=", ";", "!", "\r"];

/** mulberry32 */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (most) => Math.floor(next() * most);
  return {
    next,
    below,
    pick: (list) => list[below(list.length)],
    text: (most = 12) => Array.from({ length: below(most + 1) }, () => LETTERS[below(LETTERS.length)]).join(""),
  };
}
