/** How many answers are kept; beyond that the oldest is forgotten. */
const MAX_KEYS = 1_000;

/**
 * Remembers answers by key for a while. Who asks while one is under way waits for it instead of asking again; a failure is not
 * remembered.
 */
export class TtlCache<Value> {
  readonly #entries = new Map<string, { value: Promise<Value>; since: number }>();
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlMs: number, now: () => number) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** What is remembered, or what `load` answers; with `fresh` always the latter. */
  get(key: string, load: () => Promise<Value>, { fresh = false } = {}): Promise<Value> {
    const known = this.#entries.get(key);
    if (known && !fresh && this.#now() - known.since < this.#ttlMs) return known.value;
    const value = load();
    const entry = this.#keep(key, value);
    value.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return value;
  }

  /** Remembers an answer that came by other ways. */
  set(key: string, value: Value): void {
    this.#keep(key, Promise.resolve(value));
  }

  clear(): void {
    this.#entries.clear();
  }

  #keep(key: string, value: Promise<Value>) {
    const entry = { value, since: this.#now() };
    this.#entries.delete(key); // so that it stands last, as the youngest
    this.#entries.set(key, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_KEYS && oldest !== undefined) this.#entries.delete(oldest);
    return entry;
  }
}
