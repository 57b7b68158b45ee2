import type { PostgrestError } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import {
  ConflictError,
  InvalidRequestError,
  MeterbaseError,
  NotFoundError,
  PermissionError,
  QuotaExceededError,
  toMeterbaseError,
  UnavailableError,
} from "./errors.ts";

const error = (fields: Partial<PostgrestError>) =>
  ({ code: "", message: "m", details: "", hint: "", ...fields }) as PostgrestError;

test.each([
  [400, "PT400", "invalid_amount", InvalidRequestError],
  [401, "42501", "", PermissionError],
  [400, "23514", "", InvalidRequestError],
  [403, "PT403", "permission_denied", PermissionError],
  [403, "42501", "", PermissionError],
  [404, "PT404", "metric_not_found", NotFoundError],
  [409, "PT409", "idempotency_key_reused", ConflictError],
  [409, "23503", "", ConflictError],
  [418, "XX000", "", MeterbaseError],
  [429, "PT429", "quota_exceeded", QuotaExceededError],
  [503, "57P03", "", UnavailableError],
])("%i %s is a typed error", (status, code, hint, Class) => {
  const mapped = toMeterbaseError(error({ code, hint }), status);
  expect(mapped).toBeInstanceOf(Class);
  expect(mapped).toMatchObject({ name: Class.name, status, code: hint || code, message: "m" });
});

test("no answer at all is unavailable", () => {
  expect(toMeterbaseError(error({}), 0)).toMatchObject({
    name: "UnavailableError",
    code: "unavailable",
    status: 0,
  });
});

test("a hint of Postgres itself is no reason", () => {
  expect(toMeterbaseError(error({ code: "42883", hint: "No function matches" }), 404).code).toBe("42883");
});

test("a denial that was raised carries its receipt", () => {
  const details = JSON.stringify({ metric: "documents", used: 3, explanation: "Denied: …" });
  const mapped = toMeterbaseError(error({ code: "PT429", hint: "quota_exceeded", details }), 429);
  expect((mapped as QuotaExceededError).denial).toMatchObject({ metric: "documents", used: 3 });
  expect((toMeterbaseError(error({ code: "PT429" }), 429) as QuotaExceededError).denial).toBeNull();
});
