import { expect, test } from "vitest";
import { type AuditEvent, newestOf } from "./audit_event.ts";

const event = (event_id: string, occurred_at: string) => ({ event_id, occurred_at }) as AuditEvent;
const idsOf = (events: AuditEvent[]) => events.map(({ event_id }) => event_id).join("");

test("pages become one, newest first, each event once", () => {
  const [a, b, c] = [3, 2, 1].map((s) => event("cba".charAt(s - 1), `2027-01-01T00:00:0${s}+00:00`)) as [
    AuditEvent,
    AuditEvent,
    AuditEvent,
  ];
  expect(idsOf(newestOf([[b, c], [a], [], [b]], 10))).toBe("abc");
  expect(idsOf(newestOf([[b, c], [a]], 2))).toBe("ab");
});

test("within a second microseconds decide, whatever digits and zone they are written with; then the id", () => {
  const events = [
    event("f", "2027-01-01T00:00:00+00:00"),
    event("e", "2027-01-01T00:00:00.000001+00:00"),
    event("d", "2027-01-01T00:00:00.00001+00:00"),
    event("c", "2027-01-01T01:00:00.1+01:00"),
    event("a", "2027-01-01T00:00:00.100001+00:00"),
    event("b", "2027-01-01T00:00:00.100001+00:00"),
  ];
  expect(idsOf(newestOf([events], 10))).toBe("bacdef");
  expect(idsOf(newestOf([events.toReversed()], 10))).toBe("bacdef");
});
