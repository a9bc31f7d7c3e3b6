// The official openai package for Node against a running server.
// node client.cjs BASE_URL MODEL KEY LIMITED_KEY      (NODE_PATH: where the package is)
// Prints the name of each part that holds; the first that does not ends it with status 1.
"use strict";
const assert = require("node:assert/strict");
const OpenAI = require("openai");

const [baseUrl, model, apiKey, limitedKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, maxRetries: 0 });
const ask = { model, prompt: "Once upon a time there was a small", max_tokens: 24, temperature: 0 };

const parts = {
  async create() {
    const answer = await client.completions.create(ask);
    assert.equal(answer.object, "text_completion");
    assert.equal(answer.usage.completion_tokens, 24);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 24);
    assert.ok(answer._request_id);
  },

  async stream() {
    const whole = await client.completions.create(ask);
    const options = { stream: true, stream_options: { include_usage: true } };
    let text = "";
    let chunks = 0;
    let usage = null;
    for await (const chunk of await client.completions.create({ ...ask, ...options })) {
      chunks += 1;
      text += chunk.choices[0]?.text ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].text);
    assert.equal(usage.total_tokens, whole.usage.total_tokens);
    assert.ok(chunks > 10);
  },

  async arraysEchoAndLogprobs() {
    const answer = await client.completions.create({
      ...ask, prompt: ["alpha one", "beta two"], n: 2, max_tokens: 4, logprobs: 3, echo: true,
    });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2, 3]);
    const starts = ["alpha one", "alpha one", "beta two", "beta two"];
    answer.choices.forEach((choice, place) => {
      assert.ok(choice.text.startsWith(starts[place]));
      assert.equal(choice.logprobs.token_logprobs[0], null);
      assert.equal(choice.logprobs.text_offset[0], 0);
    });
  },

  async errors() {
    await assert.rejects(client.completions.create({ ...ask, temperature: 9 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
      assert.ok(error.requestID);
      return true;
    });
    await assert.rejects(client.completions.create({ ...ask, model: "no-such-model" }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, "model_not_found");
      return true;
    });
    const stranger = client.withOptions({ apiKey: "sk-nobody-0123456789abcdef" });
    await assert.rejects(stranger.completions.create(ask), OpenAI.AuthenticationError);
  },

  async rateLimitAndRetry() {
    const limited = client.withOptions({ apiKey: limitedKey });
    const small = { model, prompt: "a", max_tokens: 0, echo: true };
    let refused = null;
    for (let count = 0; count < 120 && refused === null; count += 1) {
      refused = await limited.completions.create(small).then(() => null, (error) => error);
    }
    assert.ok(refused instanceof OpenAI.RateLimitError, "the limit was never reached");
    assert.equal(refused.code, "rate_limit_exceeded");
    assert.ok(Number(refused.headers.get("retry-after-ms")) > 0);
    const patient = limited.withOptions({ maxRetries: 3 });
    const answer = await patient.completions.create(small);
    assert.equal(answer.choices[0].text, "a");
  },
};

async function main() {
  for (const [name, part] of Object.entries(parts)) {
    await part();
    console.log(name);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
