import { log } from "../_shared/http.ts";
import { type Clock, within } from "./clock.ts";
import type { Outbox, Report } from "./outbox.ts";

/** So many outcomes are told at once, at the latest so many milliseconds after the first. */
export const FLUSH_SIZE = 50;
export const FLUSH_MS = 100;
const MAX_BATCH = 200;
/** How long the database may take to answer, and how long it is left alone after it did not. */
export const CALL_MS = 10_000;
export const PAUSE_MS = 1_000;

export interface Reports {
  add(report: Report): void;
  /** Does not wait for more. */
  flush(): void;
  /** Tells what is left; resolves once all is told, or the time for that is over. */
  close(giveUpAt: number): Promise<void>;
}

/**
 * Tells the outbox in batches what became of messages. A batch that could not be told is told again: what is never told is
 * sent again once its lease has ended. `onReported` is called after each batch, which may have made room for others.
 */
export function createReports(outbox: Outbox, clock: Clock, onReported: () => void): Reports {
  const waiting: Report[] = [];
  let full = new AbortController(); // aborted: there is a batch, or nothing more to wait for
  let isClosing = false;
  let giveUpAt = Number.POSITIVE_INFINITY;
  let telling: Promise<void> | null = null;

  async function tell(): Promise<void> {
    while (waiting.length > 0) {
      full = new AbortController();
      if (waiting.length < FLUSH_SIZE && !isClosing) await clock.sleep(FLUSH_MS, full.signal);
      const batch = waiting.splice(0, MAX_BATCH);
      try {
        await within(clock, Math.max(1, Math.min(CALL_MS, giveUpAt - clock.now())), outbox.complete(batch));
        onReported();
      } catch (error) {
        log("warn", "Outcomes could not be reported", { count: batch.length, error: String(error) });
        waiting.unshift(...batch);
        if (clock.now() + PAUSE_MS >= giveUpAt) break;
        await clock.sleep(PAUSE_MS);
      }
    }
    telling = null; // at once: what is added from now on begins anew
  }

  return {
    add(report) {
      waiting.push(report);
      if (waiting.length >= FLUSH_SIZE) full.abort();
      telling ??= tell();
    },
    flush: () => full.abort(),
    async close(until) {
      isClosing = true;
      giveUpAt = until;
      full.abort();
      await telling;
      if (waiting.length > 0)
        log("error", "Messages were sent that will be sent again", { count: waiting.length });
    },
  };
}
