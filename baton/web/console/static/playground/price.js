// What a call costs by its usage and the model's price: the ledger's own arithmetic, in whole
// numbers. Prices are pico-USD a token, a charge is nano-USD, rounded once, half up.

const DETAILS = {
  input: [
    ["cached_tokens", "cached_input_pico"],
    ["cache_write_tokens", "cache_write_pico"],
    ["image_tokens", "image_input_pico"],
    ["audio_tokens", "audio_input_pico"],
  ],
  output: [
    ["reasoning_tokens", "reasoning_pico"],
    ["audio_tokens", "audio_output_pico"],
  ],
};

/** nano-USD as a BigInt; null where the price is not known. */
export function charge(usage, price) {
  if (!usage || !price) return null;
  const given = { ...price, ...price.details };
  const prompt = side(usage.prompt_tokens, price.input_pico, usage.prompt_tokens_details, DETAILS.input, given);
  const completion = side(
    usage.completion_tokens, price.output_pico, usage.completion_tokens_details, DETAILS.output, given,
  );
  return BigInt(price.request_nano) + (prompt + completion + 500n) / 1000n;
}

/** Each token once: kinds that have a price of their own first, the rest as plain ones. */
function side(total, plain, counts, kinds, price) {
  let rest = BigInt(total);
  let pico = 0n;
  for (const [count, name] of kinds) {
    const each = price[name];
    if (each === null || each === undefined) continue;
    const told = BigInt(Math.max(counts?.[count] ?? 0, 0));
    const taken = told < rest ? told : rest;
    rest -= taken;
    pico += taken * BigInt(each);
  }
  return pico + rest * BigInt(plain);
}

/** "$0.000123": as many decimals as there are nano-USD, at least two. */
export function dollars(nano) {
  const sign = nano < 0n ? "-" : "";
  const size = nano < 0n ? -nano : nano;
  const decimals = (size % 1_000_000_000n).toString().padStart(9, "0").replace(/0{1,7}$/, "");
  return `${sign}$${size / 1_000_000_000n}.${decimals}`;
}
