import { expect, test } from "vitest";
import { zipf } from "./zipf.ts";

test("shares follow Zipf's law", () => {
  const place = zipf(50);
  const counts = Array<number>(50).fill(0);
  for (let number = 0; number < 100_000; number++) counts[place(number)] = (counts[place(number)] ?? 0) + 1;
  const total = Array.from({ length: 50 }, (_, k) => 1 / (k + 1) ** 1.1).reduce(
    (sum, weight) => sum + weight,
    0,
  );
  for (const k of [0, 1, 4, 9, 49]) {
    const expected = 100_000 / (k + 1) ** 1.1 / total;
    expect((counts[k] ?? 0) / expected).toBeGreaterThan(0.9);
    expect((counts[k] ?? 0) / expected).toBeLessThan(1.1);
  }
});

test("the same number has the same place, and one place takes all", () => {
  expect([1, 2, 3].map(zipf(7))).toEqual([1, 2, 3].map(zipf(7)));
  expect(zipf(1)(12_345)).toBe(0);
});
