import type { DeliveryIo } from "./alert_delivery.ts";
import type { Alert } from "./alert_rows.ts";
import { type AlertManagerChannels, type Sender, sendersOf } from "./alert_senders.ts";

export interface AlertManagerOptions extends Partial<DeliveryIo> {
  print?: (text: string) => void;
  /** How many alerts each channel remembers to have got; 10,000 by default. */
  maxRemembered?: number;
}

/** What became of an alert at one channel. `target`: the host that it went to, or the recipients. */
export interface AlertDelivery {
  channel: Sender["channel"];
  target: string;
  /** `duplicate`: the channel had got the alert in this status before, so it was not sent. */
  outcome: "sent" | "failed" | "duplicate";
  attempts: number;
  error?: string;
}

/**
 * Sends alerts from this process, at hand where they are seen. It keeps nothing beyond the process, so it is no substitute for
 * the database's channels (`mb.alerts.createChannel`), which deliver durably and sign their webhooks.
 * @example
 * const manager = new AlertManager({ slack: { webhookUrl }, webhooks: ["https://example.com/alerts"] });
 * monitor.onAlert((alert) => manager.handleAlert(alert));
 */
export class AlertManager {
  readonly #lanes: Lane[];

  /** @throws {TypeError} an address is no URL. */
  constructor(channels: AlertManagerChannels, options: AlertManagerOptions = {}) {
    const { maxRemembered = 10_000, ...others } = options;
    const io = {
      fetch: globalThis.fetch,
      sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
      now: Date.now,
      timeoutMs: 10_000,
      print: console.log,
      ...others,
    };
    this.#lanes = sendersOf(channels, io).map((sender) => new Lane(sender, maxRemembered));
  }

  /**
   * Sends an alert to every channel, and says what became of it at each: up to three tries, and one alert after the other. What
   * a channel has got in a status it does not get again; what failed is tried anew when it is handed anew. Never throws, and a
   * channel that fails stops no other.
   */
  handleAlert(alert: Alert): Promise<AlertDelivery[]> {
    return Promise.all(this.#lanes.map((lane) => lane.handle(alert)));
  }
}

/** A channel, what it has got, and what waits for it. */
class Lane {
  readonly #sender: Sender;
  readonly #maxRemembered: number;
  /** By alert and status, the oldest first: what was sent, or waits. */
  readonly #known = new Map<string, Promise<AlertDelivery>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(sender: Sender, maxRemembered: number) {
    this.#sender = sender;
    this.#maxRemembered = maxRemembered;
  }

  async handle(alert: Alert): Promise<AlertDelivery> {
    const key = `${alert.id} ${alert.status}`;
    const known = this.#known.get(key);
    if (known) {
      const delivery = await known;
      return delivery.outcome === "sent" ? { ...delivery, outcome: "duplicate", attempts: 0 } : delivery;
    }
    const sending = this.#last.then(() => this.#send(alert));
    this.#last = sending;
    this.#known.set(key, sending);
    const [oldest] = this.#known.keys();
    if (this.#known.size > this.#maxRemembered && oldest !== undefined) this.#known.delete(oldest);
    const delivery = await sending;
    if (delivery.outcome === "failed") this.#known.delete(key);
    return delivery;
  }

  async #send(alert: Alert): Promise<AlertDelivery> {
    const { channel, target } = this.#sender;
    try {
      const { attempts, error } = await this.#sender.send(alert);
      if (error === undefined) return { channel, target, outcome: "sent", attempts };
      return { channel, target, outcome: "failed", attempts, error };
    } catch (error) {
      // An alert that cannot be written down, or a console that cannot be written to.
      return { channel, target, outcome: "failed", attempts: 0, error: String(error) };
    }
  }
}
