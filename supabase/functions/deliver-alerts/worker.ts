import { log } from "../_shared/http.ts";
import { type Clock, within } from "./clock.ts";
import type { Notification, Outbox, Outcome } from "./outbox.ts";
import { CALL_MS, createReports, PAUSE_MS } from "./reports.ts";

export const MAX_IN_FLIGHT = 200;
export const MAX_CLAIM = 100;
export const LEASE_SECONDS = 60;
/** How long an outbox that gave nothing is left alone: a little at first, then up to this. */
export const MAX_POLL_MS = 1_000;
const MIN_POLL_MS = 100;
/** What is left, once nothing is claimed any more, to end what is in flight and to tell what became of it. */
export const FINISH_MS = 14_000;
/** How late a claim may be answered that was made in time. */
const LATE_CLAIM_MS = 2_000;

export interface WorkerDeps {
  outbox: Outbox;
  /** Sends one message; never rejects, and ends within its own time. */
  send: (notification: Notification) => Promise<Outcome>;
  clock: Clock;
}

/** What one run did; `claims` is how often it asked the outbox. */
export interface Totals {
  sent: number;
  failed: number;
  claims: number;
}

/**
 * Claims and sends until so many milliseconds are over, or so many messages are claimed, then ends what is in flight: a
 * moment longer as a rule, FINISH_MS at most. Each message is sent by itself, so that one that hangs holds up nothing but
 * its slot.
 */
export async function drain(
  { outbox, send, clock }: WorkerDeps,
  lingerMs: number,
  maxMessages = Number.POSITIVE_INFINITY,
): Promise<Totals> {
  const totals: Totals = { sent: 0, failed: 0, claims: 0 };
  const stopAt = clock.now() + lingerMs;
  const left = () => Math.max(0, stopAt - clock.now());
  const inFlight = new Set<Promise<void>>();
  let roomMade = new AbortController(); // aborted: it is worth asking again before the wait is over
  const reports = createReports(outbox, clock, () => roomMade.abort());

  const start = (notification: Notification) => {
    const { id, attempt } = notification;
    const sending = send(notification).then((outcome) => {
      totals[outcome.ok ? "sent" : "failed"]++;
      reports.add({ id, attempt, ...outcome });
      inFlight.delete(sending);
      if (inFlight.size === 0) reports.flush(); // there is no other to wait for
    });
    inFlight.add(sending);
  };

  let pollMs = MIN_POLL_MS;
  let toClaim = maxMessages;
  for (;;) {
    roomMade = new AbortController();
    const slots = Math.min(MAX_CLAIM, MAX_IN_FLIGHT - inFlight.size, toClaim);
    totals.claims++;
    const claimed = await claim({ outbox, clock }, slots, Math.min(CALL_MS, left() + LATE_CLAIM_MS));
    for (const notification of claimed ?? []) start(notification);
    if (claimed?.length) pollMs = MIN_POLL_MS;
    toClaim -= claimed?.length ?? 0;
    if (toClaim <= 0) break;

    if (claimed?.length !== slots && left() > 0) {
      const wait = Math.min(claimed ? pollMs : PAUSE_MS, left());
      await clock.sleep(wait, claimed ? roomMade.signal : undefined);
      pollMs = Math.min(2 * pollMs, MAX_POLL_MS);
    }
    while (inFlight.size >= MAX_IN_FLIGHT && left() > 0) await firstOf(inFlight, clock, left());
    if (left() === 0) break;
  }
  await Promise.all(inFlight);
  await reports.close(stopAt + FINISH_MS);
  return totals;
}

/** Null when the database could not be asked. */
async function claim(
  { outbox, clock }: Pick<WorkerDeps, "outbox" | "clock">,
  slots: number,
  ms: number,
): Promise<Notification[] | null> {
  try {
    return await within(clock, ms, outbox.claim(slots, LEASE_SECONDS));
  } catch (error) {
    log("warn", "Nothing could be claimed", { error: String(error) });
    return null;
  }
}

async function firstOf(promises: Iterable<Promise<void>>, clock: Clock, ms: number): Promise<void> {
  const settled = new AbortController();
  await Promise.race([...promises, clock.sleep(ms, settled.signal)]);
  settled.abort();
}
