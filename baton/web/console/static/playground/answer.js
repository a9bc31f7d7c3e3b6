// The answer as it comes: chunks in, choices out. A stream's chunks and one whole answer have the
// same shape, so there is one way for both.
//
// A choice is made of units, the smallest texts that can be shown: mostly one token each. Where a
// character is spread over several tokens (their texts read `bytes:\xe4\xbd`), these make one unit
// together, with the probability of all of them. Without logprobs a unit is what one chunk brought.

const BYTES = /^bytes:((?:\\x[0-9a-f]{2})+)$/;
/** A character has at most four bytes; more pending ones will never become one. */
const PENDING_BYTES_MAX = 8;

/**
 * @typedef {{text: string, logprob: number|null, top: {text: string, logprob: number}[]}} Token
 * @typedef {{text: string, logprob: number|null, tokens: Token[], offset: number|null, scored: boolean}} Unit
 */

export class Answer {
  constructor() {
    /** @type {{index: number, text: string, units: Unit[], finish: string|null}[]} */
    this.choices = [];
    this.usage = null;
    this.id = null;
    this.fingerprint = null;
    this.pending = new Map();
  }

  /** Take a chunk, or a whole answer. Returns the indices of the choices that changed. */
  add(chunk) {
    this.id = chunk.id ?? this.id;
    this.fingerprint = chunk.system_fingerprint ?? this.fingerprint;
    if (chunk.usage) this.usage = chunk.usage;
    return (chunk.choices ?? []).map((part) => this.#take(part));
  }

  /** Nothing more comes: what waited for the rest of a character is shown as it is. */
  end() {
    for (const [index, waiting] of this.pending) this.#release(this.choice(index), waiting);
    this.pending.clear();
  }

  choice(index) {
    for (let next = this.choices.length; next <= index; next += 1) {
      this.choices.push({ index: next, text: "", units: [], finish: null });
    }
    return this.choices[index];
  }

  #take(part) {
    const choice = this.choice(part.index);
    choice.text += part.text ?? "";
    if (part.logprobs) {
      for (const token of tokens(part.logprobs)) this.#token(choice, token);
    } else if (part.text) {
      choice.units.push({ text: part.text, logprob: null, tokens: [], offset: null, scored: false });
    }
    if (part.finish_reason) {
      choice.finish = part.finish_reason;
      const waiting = this.pending.get(choice.index);
      if (waiting) this.#release(choice, waiting);
      this.pending.delete(choice.index);
    }
    return choice.index;
  }

  #token(choice, token) {
    const found = BYTES.exec(token.text);
    const waiting = this.pending.get(choice.index);
    if (!found) {
      if (waiting) this.#release(choice, waiting);
      this.pending.delete(choice.index);
      choice.units.push(unit(token.text, [token]));
      return;
    }
    const all = { bytes: [...(waiting?.bytes ?? []), ...pairs(found[1])], tokens: [...(waiting?.tokens ?? []), token] };
    const text = decoded(all.bytes);
    if (text === null && all.bytes.length <= PENDING_BYTES_MAX) {
      this.pending.set(choice.index, all);
    } else {
      this.#release(choice, all);
      this.pending.delete(choice.index);
    }
  }

  #release(choice, waiting) {
    choice.units.push(unit(decoded(waiting.bytes) ?? "\ufffd", waiting.tokens));
  }
}

/** The parallel lists of one chunk, as tokens with their alternatives, most likely first. */
export function tokens(logprobs) {
  return logprobs.tokens.map((text, at) => ({
    text,
    logprob: logprobs.token_logprobs?.[at] ?? null,
    offset: logprobs.text_offset?.[at] ?? null,
    top: Object.entries(logprobs.top_logprobs?.[at] ?? {})
      .map(([name, logprob]) => ({ text: name, logprob }))
      .sort((one, other) => other.logprob - one.logprob),
  }));
}

/** Where the prompt ends in the units of an echoed choice. `letters`: code points of the prompt. */
export function echoed(units, letters) {
  const at = units.findIndex((each) => each.offset !== null && each.offset >= letters);
  return at < 0 ? units.length : at;
}

function unit(text, parts) {
  const scored = parts.every((part) => part.logprob !== null);
  const logprob = scored ? parts.reduce((sum, part) => sum + part.logprob, 0) : null;
  return { text, logprob, tokens: parts, offset: parts[0].offset, scored };
}

function pairs(escaped) {
  return escaped.match(/[0-9a-f]{2}/g).map((pair) => Number.parseInt(pair, 16));
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch {
    return null;
  }
}
