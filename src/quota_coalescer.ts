import { MeterbaseError } from "./errors.ts";

/** What one caller asks of a quota. */
export interface Take {
  tenantId: string;
  metric: string;
  amount: number;
  subject: string | undefined;
  idempotencyKey: string | undefined;
}

/** The takes of one tenant, metric and subject. */
export type TakeGroup = [Take, ...Take[]];

/** Sends groups of takes in one call; resolves with an answer for each take, in order. */
export type SendTakes<Answer> = (groups: TakeGroup[]) => Promise<Answer[]>;

/** The database's bound for one call. */
const MAX_TAKES = 1_000;

interface Waiter<Answer> {
  key: string;
  take: Take;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/**
 * Sends the takes of many callers together. Of each tenant, metric and subject one call is in flight at a time; whoever
 * asks meanwhile goes with the next. So a busy counter is locked and flushed once for all who wait for it, and a lone
 * caller waits for nobody.
 */
export class QuotaCoalescer<Answer> {
  readonly #send: SendTakes<Answer>;
  readonly #maxCalls: number;
  /** By tenant, metric and subject, first come first. */
  readonly #waiting = new Map<string, Waiter<Answer>[]>();
  readonly #inFlight = new Set<string>();
  #calls = 0;
  #isScheduled = false;

  constructor(send: SendTakes<Answer>, maxCalls: number) {
    this.#send = send;
    this.#maxCalls = maxCalls;
  }

  take(take: Take): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const key = JSON.stringify([take.tenantId, take.metric, take.subject]);
      const waiter = { key, take, resolve, reject };
      const others = this.#waiting.get(key);
      if (others) others.push(waiter);
      else this.#waiting.set(key, [waiter]);
      this.#schedule();
    });
  }

  /** After the callers of this turn have all asked. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      while (this.#calls < this.#maxCalls) {
        const [keys, waiters] = this.#next();
        if (waiters.length === 0) return;
        void this.#call(keys, waiters);
      }
    });
  }

  /** Who goes with the next call: of the counters that no call is out for, a share for each call that may go out now. */
  #next(): [string[], Waiter<Answer>[]] {
    const free = [...this.#waiting.keys()].filter((key) => !this.#inFlight.has(key));
    const keys: string[] = [];
    const waiters: Waiter<Answer>[] = [];
    for (const key of free.slice(0, Math.ceil(free.length / (this.#maxCalls - this.#calls)))) {
      const own = this.#waiting.get(key) ?? [];
      keys.push(key);
      waiters.push(...own.splice(0, MAX_TAKES - waiters.length));
      this.#waiting.delete(key);
      if (own.length > 0) this.#waiting.set(key, own); // behind the others
      if (waiters.length === MAX_TAKES) break;
    }
    return [keys, waiters];
  }

  async #call(keys: string[], waiters: Waiter<Answer>[]): Promise<void> {
    this.#calls += 1;
    for (const key of keys) this.#inFlight.add(key);
    await this.#deliver(waiters);
    for (const key of keys) this.#inFlight.delete(key);
    this.#calls -= 1;
    this.#schedule();
  }

  /** What one caller asks wrongly must not fail the others: a refused call is tried again in halves. */
  async #deliver(waiters: Waiter<Answer>[]): Promise<void> {
    const groups = grouped(waiters);
    try {
      const answers = await this.#send(groups);
      waiters.forEach(({ resolve }, i) => {
        resolve(answers[i] as Answer);
      });
    } catch (error) {
      const parts = groups.length > 1 ? groups.length : waiters.length;
      if (parts === 1 || !isOfOne(error, groups.length)) {
        for (const { reject } of waiters) reject(error);
        return;
      }
      const half = groups.slice(0, Math.ceil(groups.length / 2)).flat().length;
      const middle = groups.length > 1 ? half : Math.ceil(waiters.length / 2);
      await this.#deliver(waiters.slice(0, middle));
      await this.#deliver(waiters.slice(middle));
    }
  }
}

/** Those of one key stand together already. */
function grouped(waiters: Pick<Waiter<never>, "key" | "take">[]): TakeGroup[] {
  const groups: TakeGroup[] = [];
  waiters.forEach(({ key, take }, i) => {
    if (key === waiters[i - 1]?.key) groups.at(-1)?.push(take);
    else groups.push([take]);
  });
  return groups;
}

/** What is wrong with a counter, whoever asks for it. */
const OF_A_GROUP = new Set(["metric_not_found", "tenant_not_found", "permission_denied", "counted_by_table"]);

/** Whether the database refused, and may have refused one of them alone. What it may have carried out is not sent again. */
const isOfOne = (error: unknown, groups: number) =>
  error instanceof MeterbaseError &&
  [400, 403, 404, 409, 413].includes(error.status) &&
  (groups > 1 || !OF_A_GROUP.has(error.code));
