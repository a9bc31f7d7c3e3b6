// One call of the completion endpoint: sends it, hands on what comes with the time at which it
// came, and tells how it ended.

import { waitMs } from "./fault.js";

/**
 * @typedef {{kind: "whole"|"stopped"|"refused"|"broken"|"cut"|"garbled"|"network", status: number|null,
 *   error: object|null, waitMs: number|null}} End
 * @param {{address: string, credential: RequestInit, body: object, headers?: Record<string, string>,
 *   signal: AbortSignal}} asked
 * @param {{head: (response: Response, at: number) => void, chunk: (chunk: object, at: number) => void}} to
 * @param {{fetch: typeof fetch, now: () => number, events: (body: ReadableStream) => AsyncIterable<string>}} by
 * @returns {Promise<End>}
 */
export async function call(asked, to, by) {
  const began = by.now();
  const at = () => by.now() - began;
  let response = null;
  try {
    response = await by.fetch(asked.address, options(asked));
    to.head(response, at());
    if (!response.ok) return await refusal(response);
    const streamed = (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
    return streamed ? await stream(by.events(response.body), response, to, at) : await whole(response, to, at);
  } catch (error) {
    if (error.name === "AbortError") return end("stopped", response);
    if (error instanceof SyntaxError) return end("garbled", response);
    return end(response === null ? "network" : "cut", response);
  }
}

/**
 * What shows who asks. A key goes in its header, and no cookie along with it. Without one it is the
 * session: its cookie opens nothing unless the page shows the mark that only it was told.
 * @param {{key: string, mark: string}} who
 */
export function credential({ key, mark }) {
  if (key !== "") return { headers: { Authorization: `Bearer ${key}` }, credentials: "omit" };
  return { headers: { "x-baton-csrf": mark }, credentials: "same-origin" };
}

function options({ credential: shown, body, headers = {}, signal }) {
  return {
    method: "POST",
    headers: { ...headers, ...shown.headers, "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
    credentials: shown.credentials,
    cache: "no-store",
    redirect: "error",
  };
}

async function stream(events, response, to, at) {
  for await (const data of events) {
    if (data === "[DONE]") return end("whole", response);
    const chunk = JSON.parse(data);
    if (chunk.error) return { ...end("broken", response), error: chunk.error };
    to.chunk(chunk, at());
  }
  return end("cut", response);
}

async function whole(response, to, at) {
  to.chunk(JSON.parse(await response.text()), at());
  return end("whole", response);
}

async function refusal(response) {
  const text = await response.text();
  let error = { message: text.slice(0, 500) };
  try {
    error = JSON.parse(text).error ?? error;
  } catch {
    // Not ours: a proxy in between. Its first words are shown as they are.
  }
  return { ...end("refused", response), error, waitMs: waitMs(response.headers) };
}

function end(kind, response) {
  return { kind, status: response?.status ?? null, error: null, waitMs: null };
}
