import type { Answer, Post, PostOptions } from "../_shared/guarded_fetch.ts";
import type { Clock } from "./clock.ts";
import { Notification } from "./outbox.ts";

export const NOW = new Date("2026-03-01T12:00:00Z");

/** A clock that stands still while anything can go on without it, and then jumps to the next thing that is waited for. */
export function virtualClock(): Clock & { run<T>(work: Promise<T>): Promise<T> } {
  let now = NOW.getTime();
  let timers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    sleep: (ms, until) =>
      new Promise((resolve) => {
        if (until?.aborted) return resolve();
        const timer = { at: now + ms, wake: resolve };
        timers.push(timer);
        until?.addEventListener("abort", () => {
          timers = timers.filter((other) => other !== timer);
          resolve();
        });
      }),
    async run(work) {
      let isOver = false;
      const over = () => {
        isOver = true;
      };
      work.then(over, over);
      let idle = 0;
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 0)); // all that can go on has
        if (isOver) return work;
        const next = timers.reduce<(typeof timers)[number] | null>(
          (first, timer) => (first === null || timer.at < first.at ? timer : first),
          null,
        );
        if (!next) {
          // What the runtime does by itself, such as a hash, takes real time.
          if (++idle > 10_000) throw new Error("it waits for nothing that will come");
          continue;
        }
        idle = 0;
        timers = timers.filter((timer) => timer !== next);
        now = next.at;
        next.wake();
      }
    },
  };
}

const uuid = (n: number) => `018f0000-0000-7000-8000-${String(n).padStart(12, "0")}`;

export const alert = (changes: Record<string, unknown> = {}) => ({
  id: uuid(900),
  tenant_id: uuid(1),
  tenant_name: "Acme",
  type: "payment_failed",
  severity: "critical",
  title: "Payment Failed",
  message: "Monthly subscription payment failed.",
  data: { amount: 4900 },
  opened_at: "2026-03-01T11:59:00+00:00",
  ...changes,
});

/** A claimed message: of an alert to a webhook, unless told otherwise. */
export const notification = (n: number, changes: Record<string, unknown> = {}): Notification =>
  Notification.parse({
    id: uuid(n),
    tenant_id: uuid(1),
    alert_id: uuid(900),
    channel_id: uuid(800),
    kind: "alert",
    channel_type: "webhook",
    recipient: null,
    config: { url: "https://hooks.test/x", secrets: [SECRET] },
    payload: { event: "opened", alert: alert() },
    attempt: 1,
    created_at: "2026-03-01T11:59:30+00:00",
    ...changes,
  });

export const SECRET = `whsec_${btoa("0123456789abcdef01234567")}`;

/** An endpoint that answers as told, and what it was sent. */
export function endpoint(answer: Partial<Answer> | Error = {}) {
  const sent: (Omit<PostOptions, "signal"> & { url: string })[] = [];
  const post: Post = (url, { headers, body }) => {
    sent.push({ url, headers, body });
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve({ status: 200, retryAfter: null, body: "", ...answer });
  };
  return { deps: { post, now: () => NOW }, sent };
}

export const signal = new AbortController().signal;
