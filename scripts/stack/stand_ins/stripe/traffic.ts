import { ApiError } from "./errors.ts";
import type { Form } from "./form.ts";

export interface ReceivedRequest {
  method: string;
  path: string;
  idempotency_key: string | null;
  params: Form;
  status: number;
}

const KEPT = 10_000;

/** The API requests that came, oldest first, and the failures that are to meet the next ones. */
export class Traffic {
  readonly received: ReceivedRequest[] = [];
  private failures = { count: 0, status: 500 };

  record(request: ReceivedRequest): void {
    this.received.push(request);
    if (this.received.length > KEPT) this.received.shift();
  }

  forget(): void {
    this.received.length = 0;
  }

  /** The next `count` requests are answered with this status and do nothing. */
  fail(count: number, status: number): void {
    this.failures = { count, status };
  }

  assertUp(): void {
    if (this.failures.count === 0) return;
    this.failures.count--;
    throw new ApiError(this.failures.status, "api_error", "The request failed, as asked.");
  }
}
