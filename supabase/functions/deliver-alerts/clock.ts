export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after so many milliseconds, or as soon as the signal is aborted. */
  sleep(ms: number, until?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, until) =>
    new Promise((resolve) => {
      if (until?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        until?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      until?.addEventListener("abort", done, { once: true });
    }),
};

/** What a promise resolves to, or rejects with "no answer in time" after so many milliseconds. */
export async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  const settled = new AbortController();
  const late = clock.sleep(ms, settled.signal).then((): never => {
    throw new Error("no answer in time");
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    settled.abort();
  }
}
