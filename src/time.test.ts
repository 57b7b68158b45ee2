import { expect, test } from "vitest";
import { iso, microseconds } from "./time.ts";

test("a moment is ISO 8601, as it was when it was so already", () => {
  expect(iso(new Date(0))).toBe("1970-01-01T00:00:00.000Z");
  expect(iso("2027-01-01T00:00:00.123456+02:00")).toBe("2027-01-01T00:00:00.123456+02:00");
});

test.each([
  ["1970-01-01T00:00:00+00:00", 0],
  ["1970-01-01T00:00:01.5+00:00", 1_500_000],
  ["1970-01-01T00:00:00.00012+00:00", 120],
  ["1970-01-01T00:00:00.999999+00:00", 999_999],
  ["1970-01-01T01:00:00.123456+01:00", 123_456],
])("%s is %i µs", (time, expected) => {
  expect(microseconds(time)).toBe(expected);
});
