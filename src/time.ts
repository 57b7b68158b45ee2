/** A moment: a Date, or ISO 8601. */
export type Time = Date | string;

export function iso(time: Time): string {
  return typeof time === "string" ? time : time.toISOString();
}
