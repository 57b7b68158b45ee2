import { MeterbaseError, UnavailableError } from "./errors.ts";

/** Something of a tenant that the database has not acknowledged yet. */
export interface Pending<Item> {
  tenantId: string;
  item: Item;
}

/** Where pending items outlive the process while the database is out of reach; `fileJournal` of `meterbase/node` is one. */
export interface Journal<Item> {
  /** What was kept last; nothing the first time. */
  load(): Promise<Pending<Item>[]>;
  /** Keeps exactly these. */
  save(pending: Pending<Item>[]): Promise<void>;
}

export interface DeliveryOptions<Item> {
  /** Items in one call; as soon as as many wait, they are sent. At least 1; 500 by default. */
  maxBatch?: number;
  /** How long an item waits for others, in milliseconds; 1,000 by default. */
  maxDelayMs?: number;
  /** Items kept while the database is out of reach; beyond that, the tenant that has most loses its newest. 10,000 by default. */
  maxPending?: number;
  /** Keeps pending items beyond the process; memory alone by default. */
  journal?: Journal<Item>;
  /** Told of items that are lost: refused by the database, or too many. Prints them by default. */
  onDropped?: (items: Pending<Item>[], reason: string) => void;
}

/** Sends items of one tenant; resolves with those that were refused, by their place. */
export type Send<Item> = (tenantId: string, items: Item[]) => Promise<{ index: number; reason: string }[]>;

const MAX_RETRY_DELAY_MS = 30_000;
/** Tenants whose batches are on their way at the same time. */
const CONCURRENCY = 4;

/**
 * Collects items and sends them in batches: when there are enough, when the first has waited long enough, and at
 * `shutdown`. Never throws. While the database is out of reach it keeps them, up to a bound, and sends them later as they
 * were, so whatever makes an item count once has to be in it.
 *
 * Where a request ends the process, as in edge functions, hand `flush()` to what keeps it up: `EdgeRuntime.waitUntil(…)`.
 */
export class DeliveryBuffer<Item> {
  readonly #send: Send<Item>;
  readonly #options: Required<Omit<DeliveryOptions<Item>, "journal">>;
  #journal: Journal<Item> | undefined;
  /** By tenant, oldest first. */
  readonly #pending = new Map<string, Pending<Item>[]>();
  /** Items under way to `add`. */
  readonly #preparing = new Set<Promise<void>>();
  #size = 0;
  #isRestored = false;
  #isJournalled = false;
  #saving: Promise<void> = Promise.resolve();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing: Promise<void> | undefined;

  constructor(send: Send<Item>, { journal, ...options }: DeliveryOptions<Item> = {}) {
    this.#send = send;
    this.#journal = journal;
    this.#options = {
      maxBatch: 500,
      maxDelayMs: 1_000,
      maxPending: 10_000,
      onDropped: (items, reason) => console.error(`meterbase: ${items.length} items were dropped: ${reason}`),
      ...options,
    };
  }

  /** How many items are not acknowledged yet. */
  get size(): number {
    return this.#size;
  }

  add(tenantId: string, item: Item): void {
    try {
      this.#keep([{ tenantId, item: toJson(item) }]);
    } catch {
      this.#drop([{ tenantId, item }], "not_json"); // circular, or a BigInt
      return;
    }
    if (this.#failures > 0) return; // the retry will take it along
    if (this.#size >= this.#options.maxBatch && !this.#flushing) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), this.#options.maxDelayMs);
  }

  /** The same for an item that is still being made; a flush waits for it. Resolves when it is there. */
  addWhenReady(tenantId: string, item: Promise<Item>): Promise<void> {
    const added = item
      .then(
        (ready) => this.add(tenantId, ready),
        (error) => console.error("meterbase: an item could not be made:", error),
      )
      .finally(() => this.#preparing.delete(added));
    this.#preparing.add(added);
    return added;
  }

  /** Sends what waits, and resolves when each of it was tried. */
  async flush(): Promise<void> {
    await Promise.all(this.#preparing);
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
    const tried = new Set<string>();
    const next = () => [...this.#pending.keys()].find((tenantId) => !tried.has(tenantId));
    let isAway = false;
    let hasFailed = false;
    const work = async () => {
      for (let tenantId = next(); tenantId !== undefined && !isAway; tenantId = next()) {
        tried.add(tenantId);
        const failure = await this.#sendAll(tenantId);
        if (failure === undefined)
          tried.delete(tenantId); // it may have more by now
        else hasFailed = true;
        isAway ||= failure instanceof UnavailableError; // the others would fare no better
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    this.#failures = hasFailed ? this.#failures + 1 : 0;
    if (hasFailed) this.#retryLater();
    await this.#save();
  }

  /** Sends what waits of a tenant; returns why the rest has to be tried again. */
  async #sendAll(tenantId: string): Promise<unknown> {
    for (let own = this.#pending.get(tenantId); own; own = this.#pending.get(tenantId)) {
      const batch = own.slice(0, this.#options.maxBatch);
      const failure = await this.#deliver(batch);
      if (failure !== undefined) return failure;
      this.#forget(tenantId, batch);
    }
    return undefined;
  }

  /** Undefined when the batch is done with: recorded, or refused for good; else why it has to be tried again. */
  async #deliver(batch: Pending<Item>[]): Promise<unknown> {
    let rejected: { index: number; reason: string }[];
    try {
      const items = batch.map(({ item }) => item);
      rejected = await this.#send(batch[0]?.tenantId ?? "", items);
    } catch (error) {
      if (!isFinal(error)) return error ?? new Error("unknown");
      if (batch.length === 1) {
        this.#drop(batch, error.code);
        return undefined;
      }
      // One item that cannot even be read must not take the others along.
      const middle = Math.ceil(batch.length / 2);
      return (await this.#deliver(batch.slice(0, middle))) ?? (await this.#deliver(batch.slice(middle)));
    }
    for (const { index, reason } of rejected) this.#drop(batch.slice(index, index + 1), reason);
    return undefined;
  }

  #keep(entries: Pending<Item>[]): void {
    for (const entry of entries) {
      const own = this.#pending.get(entry.tenantId);
      if (own) own.push(entry);
      else this.#pending.set(entry.tenantId, [entry]);
      this.#size += 1;
      if (this.#size > this.#options.maxPending) this.#dropExcess();
    }
  }

  /** From the tenant that has most, so that one which cannot record does not crowd the others out. */
  #dropExcess(): void {
    let most: Pending<Item>[] = [];
    for (const own of this.#pending.values()) if (own.length > most.length) most = own;
    const newest = most.at(-1);
    if (!newest) return;
    this.#forget(newest.tenantId, [newest]);
    this.#drop([newest], "too_many_pending");
  }

  #forget(tenantId: string, entries: Pending<Item>[]): void {
    const gone = new Set(entries);
    const own = this.#pending.get(tenantId) ?? [];
    const left = own.filter((entry) => !gone.has(entry));
    this.#size -= own.length - left.length;
    if (left.length > 0) this.#pending.set(tenantId, left);
    else this.#pending.delete(tenantId);
  }

  #drop(entries: Pending<Item>[], reason: string): void {
    try {
      this.#options.onDropped(entries, reason);
    } catch (error) {
      console.error("meterbase: onDropped failed:", error); // metering must not break its caller
    }
  }

  #retryLater(): void {
    const delay = Math.min(this.#options.maxDelayMs * 2 ** this.#failures, MAX_RETRY_DELAY_MS);
    this.#timer = setTimeout(() => void this.flush(), delay);
    // In Node and Deno, an outage must not keep a program up that has ended.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #restore(): Promise<void> {
    if (this.#isRestored || !this.#journal) return;
    this.#isRestored = true;
    try {
      const journalled = await this.#journal.load();
      this.#isJournalled = journalled.length > 0;
      this.#keep(journalled);
    } catch (error) {
      console.error("meterbase: the journal cannot be read, and is left alone:", error);
      this.#journal = undefined;
    }
  }

  /** Keeps what the database would not take, one save after the other. While all is well, the journal is not touched. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      if (!this.#journal || (this.#size === 0 && !this.#isJournalled)) return;
      try {
        await this.#journal.save([...this.#pending.values()].flat());
        this.#isJournalled = this.#size > 0;
      } catch (error) {
        console.error("meterbase: the journal cannot be written:", error);
      }
    });
    return this.#saving;
  }
}

/** As it will be sent, so that what JSON cannot hold is found at once; what Postgres cannot hold as text is replaced. */
function toJson<Item>(item: Item): Item {
  const clean = (_: string, value: unknown) =>
    typeof value === "string" ? value.replace(/\0|\p{Surrogate}/gu, "\ufffd") : value;
  return JSON.parse(JSON.stringify(item, clean)) as Item;
}

const FINAL_REASONS = new Set([
  "tenant_not_found",
  "metric_not_found",
  "counted_by_table",
  "idempotency_key_reused",
  "invalid_amount",
  "invalid_idempotency_key",
  "invalid_subject",
]);

/** Whether sending the same again could not end otherwise: what it says is no data (SQLSTATE 22…), too large, or for nothing there is. */
function isFinal(error: unknown): error is MeterbaseError {
  return (
    error instanceof MeterbaseError &&
    (/^(22|PGRST102)/.test(error.code) || error.status === 413 || FINAL_REASONS.has(error.code))
  );
}
