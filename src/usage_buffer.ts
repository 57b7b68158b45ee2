import { DeliveryBuffer, type DeliveryOptions, type Journal } from "./delivery_buffer.ts";
import type { UsageEvent } from "./usage.ts";

export type UsageJournal = Journal<UsageEvent>;
export type UsageBufferOptions = DeliveryOptions<UsageEvent>;

/** An event whose id and time may be left to the buffer. */
export type NewUsageEvent = Omit<UsageEvent, "event_id"> & { event_id?: string };

/**
 * Where trackers leave their events. Each is sent under its original id and time, so that it is counted once, where it
 * happened, however late it comes.
 */
export class UsageBuffer extends DeliveryBuffer<UsageEvent> {
  /** Takes an event; it gets an id and the present time unless it has its own. */
  override add(tenantId: string, event: NewUsageEvent): void {
    super.add(tenantId, {
      event_id: crypto.randomUUID(),
      event_timestamp: new Date().toISOString(),
      ...event,
    });
  }

  /** The same for an event that is still being made; a flush waits for it. Resolves when it is there. */
  override addWhenReady(tenantId: string, event: Promise<NewUsageEvent>): Promise<void> {
    return super.addWhenReady(tenantId, event as Promise<UsageEvent>); // `add` gives it an id
  }
}
