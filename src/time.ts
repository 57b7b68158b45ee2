/** A moment: a Date, or ISO 8601. */
export type Time = Date | string;

export function iso(time: Time): string {
  return typeof time === "string" ? time : time.toISOString();
}

/** Microseconds since 1970 of a time as the database writes it, which has no more digits. */
export function microseconds(time: string): number {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  const belowMillisecond = fraction.slice(3, 6).padEnd(3, "0");
  return Date.parse(time) * 1_000 + Number(belowMillisecond);
}
