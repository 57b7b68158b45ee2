import { ApiError } from "./errors.ts";
import { DAY } from "./periods.ts";

export interface StoredAnswer {
  status: number;
  body: string;
  requestId: string;
}

interface Entry {
  at: number;
  endpoint: string;
  params: string;
  answer: StoredAnswer;
}

/** The answers that were given to idempotency keys, each kept for 24 hours. */
export class IdempotencyKeys {
  private readonly entries = new Map<string, Entry>();

  /** The first answer to this key. Throws when the key came with other parameters or on another endpoint. */
  replay(key: string, endpoint: string, params: string, now: number): StoredAnswer | undefined {
    const entry = this.entries.get(key);
    if (!entry || entry.at + DAY <= now) return undefined;
    const reused = "Keys for idempotent requests can only be used";
    if (entry.endpoint !== endpoint) {
      const message = `${reused} for the same endpoint they were first used for ('${entry.endpoint}' vs '${endpoint}'). Try using a key other than '${key}' if you meant to execute a different request.`;
      throw new ApiError(400, "idempotency_error", message);
    }
    if (entry.params !== params) {
      const message = `${reused} with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`;
      throw new ApiError(400, "idempotency_error", message);
    }
    return entry.answer;
  }

  keep(key: string, entry: Entry): void {
    this.entries.set(key, entry);
  }
}
