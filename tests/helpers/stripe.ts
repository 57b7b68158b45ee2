import type { StackInfo } from "../../scripts/stack/stack.ts";

export interface DeliveryMode {
  hold: boolean;
  shuffle: boolean;
  drop: boolean;
  /** How often each event comes again. */
  duplicate: number;
  api_shape: "current" | "2024-06-20";
  /** Where webhooks go. */
  url: string;
}

export interface Deliveries {
  pending: number;
  deliveries: { event_id: string; type: string; attempts: number; status: string }[];
}

/** The stand-in for Stripe of a platform: its controls, and its pages as a customer uses them. */
export class StripeControl {
  readonly #url: string;

  constructor({ stripeUrl }: Pick<StackInfo, "stripeUrl">) {
    this.#url = `${stripeUrl}/_stand_in`;
  }

  /** How webhooks are delivered from now on. */
  deliver(mode: {
    hold?: boolean;
    shuffle?: boolean;
    duplicate?: number;
    drop?: boolean;
    api_shape?: string;
  }) {
    return this.#post("deliveries", mode);
  }

  async deliveries(): Promise<Deliveries> {
    return (await (await fetch(`${this.#url}/deliveries`)).json()) as Deliveries;
  }

  /** Moves Stripe's clock; what is due until then happens. */
  advance(seconds: number) {
    return this.#post("clock", { advance_seconds: seconds });
  }

  setCard(customerId: string, card: "works" | "declined") {
    return this.#post(`customers/${customerId}`, { card });
  }

  async #post(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.#url}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }
}

/** Sends the form of one of Stripe's pages, and returns where that leads: a redirect's location, or null for the page again. */
export async function submitForm(pageUrl: string, fields: Record<string, string>): Promise<string | null> {
  const response = await fetch(pageUrl, {
    method: "POST",
    body: new URLSearchParams(fields),
    redirect: "manual",
  });
  await response.body?.cancel();
  if (response.status >= 400) throw new Error(`${pageUrl}: ${response.status}`);
  return response.headers.get("location");
}
