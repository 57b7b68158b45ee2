import { vi } from "vitest";

/** Waits for a state, asking every 50 ms; fails when it does not come. */
export const until = (holds: () => Promise<boolean> | boolean, timeout = 20_000) =>
  vi.waitUntil(holds, { timeout, interval: 50 });
