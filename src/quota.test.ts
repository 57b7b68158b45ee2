import { expect, test } from "vitest";
import { formatQuota } from "./quota.ts";

test.each([
  [{ used: 987, limit_value: 1_000 }, "987 / 1,000"],
  [{ used: 1_234_567, limit_value: null }, "1,234,567 / ∞"],
  [{ used: 0, limit_value: 0 }, "0 / 0"],
])("%o reads %s", (status, text) => {
  expect(formatQuota(status)).toBe(text);
});
