type Timer = ReturnType<typeof setTimeout>;

/** In Node and Deno, lets the process end before the timer does. */
const unref = (timer: Timer) => (timer as { unref?: () => void }).unref?.();

/**
 * Aborts as `stop` does, or after a while, until its `end`. `AbortSignal.any` would leave something behind in `stop` each time,
 * and that lives as long as the watch.
 */
export function limited(stop: AbortSignal, ms: number): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const late = () => controller.abort(new DOMException("Looking took too long", "TimeoutError"));
  const timer = setTimeout(late, ms);
  unref(timer);
  const stopped = () => controller.abort(stop.reason);
  stop.addEventListener("abort", stopped);
  const end = () => {
    clearTimeout(timer);
    stop.removeEventListener("abort", stopped);
  };
  return { signal: controller.signal, end };
}

/** Resolves after a while, or as soon as the signal says so. */
export function pause(ms: number, keepAlive: boolean, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (!keepAlive) unref(timer);
    signal.addEventListener("abort", end);
  });
}
