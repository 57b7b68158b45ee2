export type Interval = "month" | "year";

export interface Period {
  start: number;
  end: number;
}

export const MINUTE = 60;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A moment `count` months or years after `anchor` (seconds, UTC); a day that the month lacks becomes its last day. */
export function addIntervals(anchor: number, interval: Interval, count: number): number {
  const from = new Date(anchor * 1000);
  const months = interval === "year" ? count * 12 : count;
  const to = new Date(anchor * 1000);
  to.setUTCDate(1);
  to.setUTCMonth(from.getUTCMonth() + months);
  const lastDay = new Date(Date.UTC(to.getUTCFullYear(), to.getUTCMonth() + 1, 0)).getUTCDate();
  to.setUTCDate(Math.min(from.getUTCDate(), lastDay));
  return to.getTime() / 1000;
}

/**
 * The period that begins at `start` and ends when the cycle of `anchor` next turns. Each end is counted from the anchor,
 * so that 31 January, 28 February is followed by 31 March.
 */
export function periodFrom(anchor: number, interval: Interval, start: number): Period {
  let count = 1;
  while (addIntervals(anchor, interval, count) <= start) count++;
  return { start, end: addIntervals(anchor, interval, count) };
}

/** What of `amount` falls on the rest of the period from `at`, by the second, in whole cents. */
export function remainingShare(amount: number, period: Period, at: number): number {
  const rest = Math.min(Math.max(period.end - at, 0), period.end - period.start);
  return Math.round((amount * rest) / (period.end - period.start));
}

/** As Stripe's descriptions say a date: 31 Jan 2026. */
export function dateText(seconds: number): string {
  const [, day, month, year] = new Date(seconds * 1000).toUTCString().split(" ");
  return `${day} ${month} ${year}`;
}
