// Whose fault it is that a call has no whole answer, and which field is meant. The page has a
// sentence for each `fault`; the server's own message is shown beside it.

/**
 * @param {{kind: "refused"|"broken"|"cut"|"garbled"|"network", status?: number, error?: object, waitMs?: number|null}} end
 * @returns {{fault: string, field: string|null, message: string|null, code: string|null, again: boolean, waitMs: number|null}}
 */
export function fault(end) {
  const error = typeof end.error === "object" && end.error !== null ? end.error : {};
  return {
    fault: whose(end, error),
    field: text(error.param),
    message: text(error.message),
    code: text(error.code),
    again: again(end, error),
    waitMs: end.waitMs ?? null,
  };
}

function whose(end, error) {
  if (end.kind === "network" || end.kind === "cut" || end.kind === "garbled") return end.kind;
  const code = text(error.code);
  if (code === "insufficient_quota") return "budget";
  if (code === "rate_limit_exceeded") return "rate";
  if (code === "overloaded") return "busy";
  if (code === "upstream_error" || code === "upstream_lost" || error.type === "upstream_error") return "upstream";
  const status = end.status ?? 0;
  if (status === 401 || status === 403 || code === "invalid_api_key") return "key";
  if (status === 429) return "rate";
  if (error.type === "invalid_request_error" || (status >= 400 && status < 500)) return "request";
  return "baton";
}

/** Whether the same request may do better a little later. */
function again(end, error) {
  if (end.kind !== "refused") return true;
  if (error.code === "insufficient_quota") return false;
  return end.status === 408 || end.status === 409 || end.status === 429 || end.status >= 500;
}

/** How long to wait by the response's headers, in milliseconds; null where they do not say. */
export function waitMs(headers) {
  for (const [name, unit] of [["retry-after-ms", 1], ["retry-after", 1000]]) {
    const value = Number.parseFloat(headers.get(name) ?? "");
    if (Number.isFinite(value) && value >= 0) return value * unit;
  }
  return null;
}

function text(value) {
  return typeof value === "string" && value !== "" ? value : null;
}
