// Probabilities as people read them, and what they say of a whole text. Log-probabilities are
// natural logarithms, as the interface has them; null is a token that nobody scored (the first one
// of a prompt).

/** Lower bounds of the six levels that tokens are coloured by, from certain to nearly impossible. */
export const LEVELS = [0.9, 0.5, 0.2, 0.05, 0.01, 0];

/** 0 (certain) to 5 (nearly impossible); null for what was not scored. */
export function level(logprob) {
  if (logprob === null || Number.isNaN(logprob)) return null;
  const probability = Math.exp(logprob);
  return LEVELS.findIndex((least) => probability >= least);
}

/** "43 %", "0.12 %", "< 0.01 %": two figures that mean something. */
export function percent(logprob) {
  if (logprob === null) return "–";
  const value = Math.exp(logprob) * 100;
  if (value >= 99.95) return value >= 99.995 ? "100 %" : `${value.toFixed(2)} %`;
  if (value >= 10) return `${value.toFixed(value >= 99 ? 1 : 0)} %`;
  if (value >= 1) return `${value.toFixed(1)} %`;
  return value >= 0.01 ? `${value.toFixed(2)} %` : "< 0.01 %";
}

/** How much a token tells: 0 for a certain one, 1 for the toss of a coin. */
export function bits(logprob) {
  return logprob === null ? 0 : Math.max(0, -logprob / Math.LN2);
}

/**
 * What the scored tokens say together; null where none was scored.
 * @param {{logprob: number|null, text: string}[]} units
 */
export function summary(units) {
  const scored = units.filter((unit) => unit.logprob !== null);
  if (scored.length === 0) return null;
  const tokens = scored.reduce((sum, unit) => sum + unit.tokens.length, 0);
  const total = scored.reduce((sum, unit) => sum + bits(unit.logprob), 0);
  const letters = scored.reduce((sum, unit) => sum + [...unit.text].length, 0);
  return {
    tokens,
    bits: total,
    bitsPerToken: total / tokens,
    bitsPerCharacter: letters ? total / letters : null,
    perplexity: 2 ** (total / tokens),
  };
}

/** Indices of the most surprising units, most surprising first. */
export function surprises(units, most) {
  return units
    .map((unit, at) => ({ at, bits: bits(unit.logprob) }))
    .filter((each) => each.bits >= 1)
    .sort((one, other) => other.bits - one.bits || one.at - other.at)
    .slice(0, most)
    .map((each) => each.at);
}
