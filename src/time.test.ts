import { expect, test } from "vitest";
import { iso } from "./time.ts";

test("a moment is ISO 8601, as it was when it was so already", () => {
  expect(iso(new Date(0))).toBe("1970-01-01T00:00:00.000Z");
  expect(iso("2027-01-01T00:00:00.123456+02:00")).toBe("2027-01-01T00:00:00.123456+02:00");
});
