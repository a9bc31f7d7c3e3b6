import assert from "node:assert/strict";
import test from "node:test";

import { fault, waitMs } from "../../../../baton/web/console/static/playground/fault.js";

const refused = (status, error) => fault({ kind: "refused", status, error });

test("whose fault it is, by status and code", () => {
  const cases = [
    ["request", refused(400, { type: "invalid_request_error", param: "temperature" })],
    ["request", refused(404, { type: "invalid_request_error", code: "model_not_found", param: "model" })],
    ["request", refused(413, { type: "invalid_request_error", code: "request_too_large" })],
    ["key", refused(401, { type: "invalid_request_error", code: "invalid_api_key" })],
    ["key", refused(403, { type: "permission_error", code: "ip_not_allowed" })],
    ["key", fault({ kind: "broken", status: 200, error: { type: "invalid_request_error", code: "invalid_api_key" } })],
    ["budget", refused(429, { type: "insufficient_quota", code: "insufficient_quota" })],
    ["rate", refused(429, { type: "requests", code: "rate_limit_exceeded" })],
    ["busy", refused(503, { type: "server_error", code: "overloaded" })],
    ["upstream", refused(502, { type: "upstream_error", code: "upstream_error" })],
    ["upstream", fault({ kind: "broken", status: 200, error: { type: "upstream_error", code: "upstream_lost" } })],
    ["baton", refused(500, { type: "server_error", code: "internal_error" })],
    ["baton", refused(502, "<html>")],
    ["cut", fault({ kind: "cut", status: 200, error: null })],
    ["garbled", fault({ kind: "garbled", status: 200, error: null })],
    ["network", fault({ kind: "network", status: null, error: null })],
  ];
  assert.deepEqual(cases.map(([, found]) => found.fault), cases.map(([expected]) => expected));
});

test("the field at fault and whether to try again are told", () => {
  const found = refused(400, { message: "too high", type: "invalid_request_error", param: "n", code: "x" });
  assert.deepEqual([found.field, found.message, found.code, found.again], ["n", "too high", "x", false]);
  assert.equal(refused(503, { code: "overloaded" }).again, true);
  assert.equal(refused(429, { code: "insufficient_quota" }).again, false);
});

test("an error object with other types in it is only text or nothing", () => {
  const found = refused(400, { message: { a: 1 }, param: ["n"], code: 7, type: null });
  assert.deepEqual([found.fault, found.field, found.message, found.code], ["request", null, null, null]);
});

test("how long to wait: milliseconds win, nonsense is nothing", () => {
  assert.equal(waitMs(new Headers({ "retry-after-ms": "250", "retry-after": "9" })), 250);
  assert.equal(waitMs(new Headers({ "retry-after": "2" })), 2000);
  assert.equal(waitMs(new Headers({ "retry-after": "soon" })), null);
});
