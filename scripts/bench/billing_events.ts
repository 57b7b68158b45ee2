import pg from "pg";
import type { Sql } from "postgres";
import { Stripe } from "stripe";
import { createCustomer } from "../stack/stand_ins/stripe/customers.ts";
import type { StoredEvent } from "../stack/stand_ins/stripe/events.ts";
import { State } from "../stack/stand_ins/stripe/state.ts";
import { changeSubscription } from "../stack/stand_ins/stripe/subscription_changes.ts";
import { createSubscription } from "../stack/stand_ins/stripe/subscriptions.ts";

export const WEBHOOK_SECRET = "whsec_bench";
const TOLERANCE_SECONDS = 300;

/** What an endpoint asks Stripe for: the types that Meterbase applies. */
const TYPES: readonly string[] = [
  "customer.created",
  "customer.subscription.created",
  "customer.subscription.updated",
  "invoice.finalized",
  "invoice.updated",
  "invoice.paid",
  "invoice.payment_succeeded",
];

/** A webhook's raw body, written as Stripe writes it, and its `stripe-signature`. */
export interface Signed {
  body: string;
  signature: string;
}

export interface Answer {
  event_id: string;
  type: string;
  status: string;
  error: string | null;
}

/** A Stripe account of which customers buy, in bodies of full size. */
export class Shop {
  readonly #state: State;
  #told: StoredEvent[] = [];

  constructor(now: () => Date) {
    const price = { currency: "usd", interval: "month" } as const;
    const prices = [
      { id: "price_startup_monthly", product: "Startup Audit", unitAmount: 4900, ...price },
      { id: "price_enterprise_monthly", product: "Enterprise Deep Dive", unitAmount: 14900, ...price },
    ];
    this.#state = new State(now, prices, (event) => {
      if (TYPES.includes(event.type)) this.#told.push(event);
    });
  }

  /** A tenant's customer, who subscribes to Startup and pays. */
  subscribe(tenantId: string): Stripe.Subscription {
    const metadata = { tenant_id: tenantId };
    const customer = createCustomer(this.#state, {
      email: `${tenantId}@example.com`,
      metadata,
      paymentMethod: "pm_card_visa",
    });
    return createSubscription(this.#state, {
      customer: customer.id,
      metadata,
      paymentBehavior: "allow_incomplete",
      price: this.#price("price_startup_monthly"),
      quantity: 1,
    });
  }

  /** To Enterprise, whose difference is billed and paid at once. */
  upgrade(subscription: Stripe.Subscription): void {
    const price = this.#price("price_enterprise_monthly");
    changeSubscription(this.#state, subscription, { price, prorationBehavior: "always_invoice" });
  }

  /** Asks for the end of the subscription, or, the next time, for its going on. */
  toggleEnd(subscription: Stripe.Subscription): void {
    changeSubscription(this.#state, subscription, {
      end: subscription.cancel_at_period_end ? null : "period_end",
    });
  }

  /** The events since the last time. */
  take(): StoredEvent[] {
    const told = this.#told;
    this.#told = [];
    return told;
  }

  #price(id: string): Stripe.Price {
    return this.#state.prices.get(id) as Stripe.Price;
  }
}

export async function sign(event: StoredEvent): Promise<Signed> {
  const body = JSON.stringify(event, null, 2);
  const options = { payload: body, secret: WEBHOOK_SECRET };
  return { body, signature: await Stripe.webhooks.generateTestHeaderStringAsync(options) };
}

const cryptoProvider = Stripe.createSubtleCryptoProvider();

/** What a webhook costs Meterbase: the signature, and the event's transaction. */
export async function receive(pool: pg.Pool, { body, signature }: Signed): Promise<Answer> {
  await Stripe.webhooks.constructEventAsync(
    body,
    signature,
    WEBHOOK_SECRET,
    TOLERANCE_SECONDS,
    cryptoProvider,
  );
  const { rows } = await pool.query("select * from public.ingest_stripe_event($1)", [JSON.parse(body)]);
  return rows[0] as Answer;
}

/** The same, of which `processed` alone is right. */
export async function process(pool: pg.Pool, signed: Signed, also: readonly string[] = []): Promise<void> {
  const { event_id, type, status, error } = await receive(pool, signed);
  if (status !== "processed" && !also.includes(status))
    throw new Error(`${type} ${event_id} is ${status}: ${error}`);
}

/** Events that nobody measures, in one transaction. */
export async function ingestAll(sql: Sql, events: StoredEvent[]): Promise<void> {
  const [failed] = await sql`
    select a.* from jsonb_array_elements(${sql.json(events as never)}) e, public.ingest_stripe_event(e) a
    where a.status <> 'processed'`;
  if (failed) throw new Error(`${failed.type} ${failed.event_id} is ${failed.status}: ${failed.error}`);
}

/** Free tenants, each with an owner who gets mails. */
export async function makeTenants(sql: Sql, count: number): Promise<string[]> {
  const tenants = await sql`
    select (public.create_tenant('Shop ' || i, 'free')).id from generate_series(1, ${count}::int) i`;
  const ids = tenants.map(({ id }) => id as string);
  await sql`
    insert into auth.users (id, email) select id, id || '@example.com' from unnest(${ids}::uuid[]) id`;
  await sql`
    insert into public.memberships (tenant_id, user_id, role) select id, id, 'owner' from unnest(${ids}::uuid[]) id`;
  return ids;
}

/** Connections that are there before they are measured. */
export async function connectPool(connectionString: string, max: number): Promise<pg.Pool> {
  const pool = new pg.Pool({ connectionString, max, keepAlive: true, idleTimeoutMillis: 0 });
  pool.on("error", () => {}); // of one that idles while the cluster stops: what stopped it is the error to show
  const clients = await Promise.all(Array.from({ length: max }, () => pool.connect()));
  for (const client of clients) client.release();
  return pool;
}
