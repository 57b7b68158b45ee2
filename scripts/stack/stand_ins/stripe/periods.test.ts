import { expect, test } from "vitest";
import { addIntervals, dateText, periodFrom, remainingShare } from "./periods.ts";

const at = (text: string) => Date.parse(`${text}Z`) / 1000;

test("a month that lacks the anchor's day ends with its last one, and the next month has it again", () => {
  const anchor = at("2026-01-31T10:20:30");
  expect(addIntervals(anchor, "month", 1)).toBe(at("2026-02-28T10:20:30"));
  expect(addIntervals(anchor, "month", 2)).toBe(at("2026-03-31T10:20:30"));
  const february = at("2026-02-28T10:20:30");
  expect(periodFrom(anchor, "month", february)).toEqual({ start: february, end: at("2026-03-31T10:20:30") });
});

test("a year from 29 February ends on the 28th", () => {
  const anchor = at("2028-02-29T00:00:00");
  expect(periodFrom(anchor, "year", anchor).end).toBe(at("2029-02-28T00:00:00"));
});

test("the rest of a period is worth its share by the second, in whole cents", () => {
  const period = { start: 0, end: 3_000 };
  expect(remainingShare(3_000, period, 1_000)).toBe(2_000);
  expect(remainingShare(100, period, 1)).toBe(100);
  expect(remainingShare(1_000, period, 2_000)).toBe(333);
  expect(remainingShare(1_000, period, 4_000)).toBe(0);
});

test("dates are written as Stripe writes them", () => {
  expect(dateText(at("2026-06-01T12:00:00"))).toBe("01 Jun 2026");
});
