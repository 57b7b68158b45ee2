import type { Rpc } from "./database.ts";
import { log } from "./http.ts";
import type { ReportCall } from "./stripe.ts";

/** How long successes are gathered before they are told. */
const GATHER_MS = 10_000;

export interface StripeHealthDeps {
  service: Rpc;
  now: () => Date;
  /** Given what goes on after the response to whoever asked. */
  keepAlive: (work: Promise<void>) => void;
}

/**
 * Counts calls of Stripe's API and tells the database: failures at once, successes every ten seconds, one call at a time.
 * Nobody waits for it. What could not be told is told with the next; of an instance that ends meanwhile, it is lost.
 */
export function createStripeHealth({ service, now, keepAlive }: StripeHealthDeps): ReportCall {
  let succeeded = 0;
  let failed = 0;
  let lastError: string | null = null;
  let toldAt = Number.NEGATIVE_INFINITY;
  let isTelling = false;

  async function tell(): Promise<void> {
    const told = { succeeded, failed, last_error: lastError };
    [succeeded, failed, lastError] = [0, 0, null];
    toldAt = now().getTime();
    try {
      await service("record_stripe_calls", told);
    } catch (error) {
      log("warn", "Calls of Stripe could not be counted", { error: String(error) });
      succeeded += told.succeeded;
      failed += told.failed;
      lastError ??= told.last_error;
      return;
    }
    if (failed > 0) await tell(); // of calls that failed meanwhile
  }

  return (ok, error) => {
    if (ok) succeeded++;
    else failed++;
    if (!ok) lastError = error ?? "unknown";
    if (isTelling || (ok && now().getTime() - toldAt < GATHER_MS)) return;
    isTelling = true;
    keepAlive(
      tell().finally(() => {
        isTelling = false;
      }),
    );
  };
}
