import { Stripe } from "stripe";
import type { EventType, StoredEvent } from "./events.ts";

export interface Mode {
  hold: boolean;
  shuffle: boolean;
  /** How often each event is sent again after it was sent. */
  duplicate: number;
  delay_ms: number;
  drop: boolean;
}

export interface Delivery {
  event_id: string;
  type: EventType;
  attempts: number;
  status: "pending" | "held" | "dropped" | "delivered" | "failed";
  /** What the receiver answered last; null when it did not. */
  response_status: number | null;
}

interface Sending {
  delivery: Delivery;
  event: StoredEvent;
  /** How many copies are still to be sent. */
  copies: number;
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 2_000;
const GIVE_UP_AFTER_MS = 60_000;
const SHUFFLE_WINDOW_MS = 100;
const ANSWER_WITHIN_MS = 10_000;

/**
 * Sends events to the webhook in the order in which they happened, each until it was answered with 2xx. The signature
 * is of the real time: the clock that is advanced is the stand-in's alone.
 */
export class Deliveries {
  readonly mode: Mode = { delay_ms: 0, drop: false, duplicate: 0, hold: false, shuffle: false };
  private readonly sendings = new Map<string, Sending>();
  private queue: Sending[] = [];
  private url: string | undefined;
  private working = false;
  private readonly stopped = new AbortController();
  private waiting: (() => void)[] = [];

  constructor(private readonly secret: string) {}

  /** The webhook's URL; what happened before it was known is sent now. */
  deliverTo(url: string): void {
    this.url = url;
    void this.work();
  }

  add(event: StoredEvent): void {
    const status = this.mode.drop ? "dropped" : this.mode.hold ? "held" : "pending";
    const delivery: Delivery = {
      attempts: 0,
      event_id: event.id,
      response_status: null,
      status,
      type: event.type,
    };
    const sending = { copies: 0, delivery, event };
    this.sendings.set(event.id, sending);
    if (status === "pending") this.enqueue(sending);
  }

  /** Sends what was held: all of it, or the events of `order` in that order, even such as were sent or dropped. */
  release(order?: string[]): void {
    const ids = order ?? this.list().flatMap((it) => (it.status === "held" ? [it.event_id] : []));
    for (const id of ids) {
      const sending = this.sendings.get(id);
      if (!sending) throw new Error(`There is no event ${id}.`);
      sending.delivery.status = "pending";
      this.enqueue(sending);
    }
  }

  list(): Delivery[] {
    return [...this.sendings.values()].map(({ delivery }) => delivery);
  }

  pending(): number {
    return this.list().filter(({ status }) => status === "pending").length;
  }

  /** Resolves when nothing waits to be sent. */
  async settled(): Promise<void> {
    while (this.pending() > 0 && !this.stopped.signal.aborted) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  stop(): void {
    this.stopped.abort();
    this.queue = [];
    this.wake();
  }

  private enqueue(sending: Sending): void {
    for (let copy = 0; copy <= this.mode.duplicate; copy++) this.queue.push(sending);
    sending.copies += 1 + this.mode.duplicate;
    void this.work();
  }

  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    // The request that caused the events is answered first.
    await this.sleep(0);
    while (this.url !== undefined && this.queue.length > 0 && !this.stopped.signal.aborted) {
      if (this.mode.shuffle) await this.sleep(SHUFFLE_WINDOW_MS);
      const batch = this.mode.shuffle ? shuffled(this.queue.splice(0)) : this.queue.splice(0, 1);
      for (const sending of batch) await this.deliver(sending);
      this.wake();
    }
    this.working = false;
  }

  private async deliver(sending: Sending): Promise<void> {
    const { delivery } = sending;
    const giveUpAt = Date.now() + GIVE_UP_AFTER_MS;
    for (let backoff = FIRST_BACKOFF_MS; !this.stopped.signal.aborted; backoff *= 2) {
      if (this.mode.delay_ms > 0) await this.sleep(this.mode.delay_ms);
      delivery.attempts++;
      delivery.response_status = await this.post(sending.event);
      const { response_status: status } = delivery;
      const done = status !== null && status >= 200 && status < 300;
      if (done || Date.now() >= giveUpAt) {
        sending.copies--;
        if (sending.copies === 0) delivery.status = done ? "delivered" : "failed";
        return;
      }
      await this.sleep(Math.min(backoff, LONGEST_BACKOFF_MS));
    }
  }

  private async post(event: StoredEvent): Promise<number | null> {
    const payload = JSON.stringify(event, null, 2);
    const signature = await Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret: this.secret });
    try {
      const response = await fetch(this.url ?? "", {
        body: payload,
        headers: {
          "content-type": "application/json; charset=utf-8",
          "stripe-signature": signature,
          "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        },
        method: "POST",
        redirect: "manual",
        signal: AbortSignal.any([this.stopped.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
      });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return null;
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.stopped.signal.removeEventListener("abort", stop);
        resolve();
      }, ms);
      this.stopped.signal.addEventListener("abort", stop, { once: true });
    });
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

function shuffled<T>(items: T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    const [a, b] = [result[i], result[j]];
    if (a !== undefined && b !== undefined) [result[i], result[j]] = [b, a];
  }
  return result;
}
