import { log } from "./http.ts";

interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

/**
 * Lets work go on when its request is answered. The hosted edge runtime would end it unless it is told to wait; others go on
 * by themselves. That it fails is logged.
 */
export function inBackground(work: Promise<unknown>): void {
  const logged = work.catch((error) =>
    log("error", "Work in the background failed", { error: String(error) }),
  );
  const { EdgeRuntime } = globalThis as { EdgeRuntime?: EdgeRuntime };
  EdgeRuntime?.waitUntil(logged);
}
