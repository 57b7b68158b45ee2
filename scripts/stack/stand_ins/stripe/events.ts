import { Stripe } from "stripe";
import { type JsonObject, previousAttributes } from "./changes.ts";
import type { Clock } from "./clock.ts";
import { newId } from "./ids.ts";

export type EventType = Stripe.Event["type"];
type Subject<T extends EventType> = Extract<Stripe.Event, { type: T }>["data"]["object"];

export const API_SHAPES = ["current", "2024-06-20"] as const;
export type ApiShape = (typeof API_SHAPES)[number];

/** An event as it was rendered when it happened. */
export interface StoredEvent {
  [key: string]: unknown;
  id: string;
  type: EventType;
  created: number;
}

export interface EventsDependencies {
  clock: Clock;
  render(object: object, shape: ApiShape): JsonObject;
  deliver(event: StoredEvent): void;
}

/** What has happened, oldest first. */
export class Events {
  readonly all: StoredEvent[] = [];
  shape: ApiShape = "current";
  /** The API request that causes what happens now; of nulls while a page or the clock does. */
  request: Stripe.Event.Request = { id: null, idempotency_key: null };

  constructor(private readonly dependencies: EventsDependencies) {}

  emit<T extends EventType>(type: T, object: Subject<T>): void {
    this.store(type, this.dependencies.render(object, this.shape));
  }

  /** Makes the change and tells it with its previous attributes; says nothing when nothing changed. */
  change<T extends EventType>(type: T, object: Subject<T>, change: () => void): void {
    const before = this.dependencies.render(object, this.shape);
    change();
    const after = this.dependencies.render(object, this.shape);
    const previous = previousAttributes(before, after);
    if (previous) this.store(type, after, previous);
  }

  private store(type: EventType, object: JsonObject, previous?: JsonObject): void {
    const event: StoredEvent = {
      id: newId("evt"),
      object: "event",
      api_version: this.shape === "current" ? Stripe.API_VERSION : this.shape,
      created: this.dependencies.clock.now(),
      data: { object, ...(previous && { previous_attributes: previous }) },
      livemode: false,
      pending_webhooks: 1,
      request: { ...this.request },
      type,
    };
    this.all.push(event);
    this.dependencies.deliver(event);
  }
}
