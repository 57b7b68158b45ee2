/** A request to an endpoint outside, JSON by POST. */
export interface Outgoing {
  url: string;
  headers?: Record<string, string>;
  body: unknown;
}

export interface DeliveryIo {
  fetch: typeof fetch;
  sleep: (ms: number) => Promise<void>;
  /** How long one try may take, in milliseconds. */
  timeoutMs: number;
  /** What time it is, in milliseconds, for a `Retry-After` that is a date. */
  now: () => number;
}

/** How many tries it took, and what the last one failed with; no error: it was taken. */
export interface DeliveryResult {
  attempts: number;
  error?: string;
}

const TRIES = 3;
const BASE_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;

/**
 * Posts until an endpoint takes it: three tries, 1 s and 4 s apart, or as long as the endpoint asks for by `Retry-After`, up to
 * 30 s. What it refuses (a 4xx but 408, 425 and 429, or a redirect) is not tried again. Never throws.
 */
export async function deliver(request: Outgoing, io: DeliveryIo): Promise<DeliveryResult> {
  for (let attempts = 1; ; attempts += 1) {
    const failure = await post(request, io);
    if (failure === undefined) return { attempts };
    if (failure.isFinal || attempts === TRIES) return { attempts, error: failure.error };
    const delay = failure.retryAfterMs ?? BASE_DELAY_MS * 4 ** (attempts - 1);
    await io.sleep(Math.min(delay, MAX_DELAY_MS));
  }
}

interface Failure {
  error: string;
  isFinal: boolean;
  retryAfterMs?: number | undefined;
}

async function post({ url, headers, body }: Outgoing, io: DeliveryIo): Promise<Failure | undefined> {
  try {
    const response = await io.fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      redirect: "manual", // elsewhere is not where it was to go
      signal: AbortSignal.timeout(io.timeoutMs),
    });
    if (response.ok) {
      await response.body?.cancel();
      return undefined;
    }
    const said = (await response.text().catch(() => "")).slice(0, 200).trim();
    return {
      error: said === "" ? `HTTP ${response.status}` : `HTTP ${response.status}: ${said}`,
      isFinal: response.status < 500 && ![408, 425, 429].includes(response.status),
      retryAfterMs: retryAfter(response.headers.get("retry-after"), io.now()),
    };
  } catch (error) {
    // The cause says what the network said; neither says the address, which may be a secret.
    const { message, cause } = error as Error;
    return { error: cause instanceof Error ? `${message}: ${cause.message}` : message, isFinal: false };
  }
}

function retryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}
