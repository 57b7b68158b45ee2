import { InvalidRequestError, MeterbaseError, UnavailableError } from "./errors.ts";
import type { RecordUsageResult, UsageEvent } from "./usage.ts";
import type { PendingEvent, UsageJournal } from "./usage_journal.ts";

export interface UsageBufferOptions {
  /** Events in one call; as soon as as many wait, they are sent. 1 to 5,000; 500 by default. */
  maxBatch?: number;
  /** How long an event waits for others, in milliseconds; 1,000 by default. */
  maxDelayMs?: number;
  /** Events kept while the database is out of reach; what comes beyond that is dropped. 10,000 by default. */
  maxPending?: number;
  /** Keeps pending events beyond the process, such as `fileJournal(path)`; memory alone by default. */
  journal?: UsageJournal;
  /** Told of events that are lost: refused by the database, or too many. Prints them by default. */
  onDropped?: (events: PendingEvent[], reason: string) => void;
}

type Send = (tenantId: string, events: UsageEvent[]) => Promise<RecordUsageResult>;

const MAX_RETRY_DELAY_MS = 30_000;

/**
 * Collects usage events and sends them in batches: when there are enough, when the first has waited long enough, and at
 * `shutdown`. Never throws. While the database is out of reach it keeps them, up to a bound, and sends them later under
 * their original ids and times, so that each is counted once, where it happened.
 */
export class UsageBuffer {
  readonly #send: Send;
  readonly #options: Required<Omit<UsageBufferOptions, "journal">>;
  readonly #journal: UsageJournal | undefined;
  #pending: PendingEvent[] = [];
  #restored = false;
  #isJournalled = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing: Promise<void> | undefined;

  constructor(send: Send, { journal, ...options }: UsageBufferOptions = {}) {
    this.#send = send;
    this.#journal = journal;
    this.#options = {
      maxBatch: 500,
      maxDelayMs: 1_000,
      maxPending: 10_000,
      onDropped: (events, reason) =>
        console.error(`meterbase: ${events.length} usage events were dropped: ${reason}`),
      ...options,
    };
  }

  /** How many events are not acknowledged yet. */
  get size(): number {
    return this.#pending.length;
  }

  /** Takes an event; it gets an id and the present time unless it has its own. */
  add(tenantId: string, event: Omit<UsageEvent, "event_id"> & { event_id?: string }): void {
    const entry = {
      tenantId,
      event: { event_id: crypto.randomUUID(), event_timestamp: new Date().toISOString(), ...event },
    };
    if (this.#pending.length >= this.#options.maxPending) {
      this.#options.onDropped([entry], "too_many_pending");
      return;
    }
    this.#pending.push(entry);
    if (this.#failures > 0) return; // the retry will take it along
    if (this.#pending.length >= this.#options.maxBatch && !this.#flushing) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), this.#options.maxDelayMs);
  }

  /** Sends what waits, and resolves when each of it was tried. */
  async flush(): Promise<void> {
    await this.#flushing; // what came during the flush under way may need one of its own
    this.#flushing ??= this.#drain().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
  }

  /** Sends what waits, for at most `timeoutMs`. What could not be sent is in the journal then, if there is one. */
  async shutdown(timeoutMs = 5_000): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.flush(), timeout]);
    clearTimeout(timer);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#save();
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#restore();
    const failed = new Set<string>(); // tenants whose events stay
    for (let batch = this.#nextBatch(failed); batch[0]; batch = this.#nextBatch(failed)) {
      const failure = await this.#deliver(batch);
      if (failure) {
        failed.add(batch[0].tenantId);
        if (failure instanceof UnavailableError) break; // the others would fare no better
      } else {
        const done = new Set(batch);
        this.#pending = this.#pending.filter((entry) => !done.has(entry));
      }
    }
    this.#failures = failed.size > 0 ? this.#failures + 1 : 0;
    if (this.#failures > 0) this.#retryLater();
    await this.#save();
  }

  /** The oldest event of a tenant that has not failed, and what follows of its tenant, as many as fit one call. */
  #nextBatch(failed: Set<string>): PendingEvent[] {
    const tenantId = this.#pending.find((entry) => !failed.has(entry.tenantId))?.tenantId;
    return this.#pending.filter((entry) => entry.tenantId === tenantId).slice(0, this.#options.maxBatch);
  }

  /** Undefined when the batch is done with: recorded, or refused for good; else why it has to be tried again. */
  async #deliver(batch: PendingEvent[]): Promise<unknown> {
    try {
      const events = batch.map(({ event }) => event);
      const { rejected } = await this.#send(batch[0]?.tenantId ?? "", events);
      for (const { index, reason } of rejected)
        this.#options.onDropped(batch.slice(index, index + 1), reason);
      return undefined;
    } catch (error) {
      if (!isFinal(error)) return error;
      if (batch.length === 1) {
        this.#options.onDropped(batch, error.code);
        return undefined;
      }
      // One event that cannot even be read, such as one with text that Postgres does not hold, must not take others along.
      const middle = Math.ceil(batch.length / 2);
      return (await this.#deliver(batch.slice(0, middle))) ?? (await this.#deliver(batch.slice(middle)));
    }
  }

  #retryLater(): void {
    const delay = Math.min(this.#options.maxDelayMs * 2 ** this.#failures, MAX_RETRY_DELAY_MS);
    this.#timer = setTimeout(() => void this.flush(), delay);
    // In Node and Deno, an outage must not keep a program up that has ended.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #restore(): Promise<void> {
    if (this.#restored || !this.#journal) return;
    this.#restored = true;
    try {
      const journalled = await this.#journal.load();
      this.#isJournalled = journalled.length > 0;
      this.#pending.unshift(...journalled);
    } catch (error) {
      console.error("meterbase: the usage journal cannot be read:", error);
    }
  }

  /** Keeps what the database would not take. While all is well, the journal is not touched. */
  async #save(): Promise<void> {
    const isClean = this.#pending.length === 0 && !this.#isJournalled;
    if (!this.#journal || isClean) return;
    try {
      await this.#journal.save(this.#pending);
      this.#isJournalled = this.#pending.length > 0;
    } catch (error) {
      console.error("meterbase: the usage journal cannot be written:", error);
    }
  }
}

/** Whether sending the same again could not end otherwise. */
function isFinal(error: unknown): error is MeterbaseError {
  return (
    error instanceof InvalidRequestError ||
    (error instanceof MeterbaseError && error.code === "tenant_not_found")
  );
}
