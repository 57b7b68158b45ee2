import type { Sql } from "postgres";

export type StripeObject = Record<string, unknown> & { id: string; object: string };

/** An event as Stripe sends it, of the parts that are read. */
export interface StripeEvent {
  id: string;
  object: "event";
  type: string;
  created: number;
  api_version: string;
  livemode: boolean;
  data: { object: StripeObject; previous_attributes?: Record<string, unknown> };
}

/** Which API version an object is rendered for: since 2025 a period belongs to the item, before to the subscription. */
export type Shape = "2026-10-28.endive" | "2024-06-20";

export const DAY_SECONDS = 86_400;

export interface SubscriptionFields {
  id: string;
  customer: string;
  tenantId?: string | undefined;
  price: string;
  status: string;
  start: number;
  end: number;
  cancelAtPeriodEnd?: boolean;
  endedAt?: number;
}

export function subscription(fields: SubscriptionFields, shape: Shape): StripeObject {
  const period = { current_period_start: fields.start, current_period_end: fields.end };
  const isOld = shape === "2024-06-20";
  return {
    id: fields.id,
    object: "subscription",
    customer: fields.customer,
    status: fields.status,
    created: fields.start,
    cancel_at: null,
    cancel_at_period_end: fields.cancelAtPeriodEnd ?? false,
    canceled_at: fields.endedAt ?? null,
    ended_at: fields.endedAt ?? null,
    trial_end: null,
    metadata: fields.tenantId === undefined ? {} : { tenant_id: fields.tenantId },
    items: {
      object: "list",
      data: [
        {
          id: `si_${fields.id}`,
          object: "subscription_item",
          price: { id: fields.price, object: "price" },
          quantity: 1,
          ...(!isOld && period),
        },
      ],
    },
    ...(isOld && period),
  };
}

export interface LineFields {
  id: string;
  price: string;
  amount: number;
  start: number;
  end: number;
  isProration?: boolean;
}

export interface InvoiceFields {
  id: string;
  customer: string;
  subscription: string;
  tenantId?: string | undefined;
  status: "draft" | "open" | "paid" | "uncollectible" | "void";
  attempts: number;
  created: number;
  lines: LineFields[];
}

export function invoice(fields: InvoiceFields, shape: Shape): StripeObject {
  const total = fields.lines.reduce((sum, line) => sum + line.amount, 0);
  const isPaid = fields.status === "paid";
  const metadata = fields.tenantId === undefined ? {} : { tenant_id: fields.tenantId };
  const lines = fields.lines.map((line) => ({
    id: line.id,
    object: "line_item",
    amount: line.amount,
    period: { start: line.start, end: line.end },
    ...(shape === "2024-06-20"
      ? {
          type: "subscription",
          subscription: fields.subscription,
          price: { id: line.price, object: "price" },
          proration: line.isProration ?? false,
        }
      : {
          pricing: { type: "price_details", price_details: { price: line.price, product: "prod_1" } },
          parent: {
            type: "subscription_item_details",
            subscription_item_details: {
              subscription: fields.subscription,
              proration: line.isProration ?? false,
            },
          },
        }),
  }));
  return {
    id: fields.id,
    object: "invoice",
    customer: fields.customer,
    status: fields.status,
    number: `N-${fields.id}`,
    billing_reason: "subscription_create",
    currency: "usd",
    total,
    amount_due: total,
    amount_paid: isPaid ? total : 0,
    amount_remaining: isPaid ? 0 : total,
    attempt_count: fields.attempts,
    next_payment_attempt: null,
    period_start: fields.created,
    period_end: fields.created,
    created: fields.created,
    hosted_invoice_url: `https://invoice.example/${fields.id}`,
    invoice_pdf: null,
    status_transitions: { paid_at: isPaid ? fields.created + 1 : null },
    lines: { object: "list", data: lines, has_more: false },
    ...(shape === "2024-06-20"
      ? { subscription: fields.subscription, subscription_details: { metadata }, charge: `ch_${fields.id}` }
      : {
          parent: {
            type: "subscription_details",
            subscription_details: { subscription: fields.subscription, metadata },
          },
        }),
  };
}

export function event(
  id: string,
  type: string,
  created: number,
  object: StripeObject,
  { previous, shape = "2026-10-28.endive" }: { previous?: Record<string, unknown>; shape?: Shape } = {},
): StripeEvent {
  return {
    id,
    object: "event",
    type,
    created,
    api_version: shape,
    livemode: false,
    data: { object, ...(previous && { previous_attributes: previous }) },
  };
}

export interface IngestAnswer {
  event_id: string;
  type: string;
  status: "processed" | "duplicate" | "stale" | "ignored" | "failed";
  tenant_id: string | null;
  plan_id: string | null;
  previous_plan_id: string | null;
  is_upgrade: boolean;
  error: string | null;
}

export async function ingest(sql: Sql, sent: StripeEvent): Promise<IngestAnswer> {
  const [answer] = await sql<
    IngestAnswer[]
  >`select * from public.ingest_stripe_event(${sql.json(sent as never)})`;
  return answer as IngestAnswer;
}

/** All that events of a tenant leave behind and that users see; not when, and not how often it changed on the way. */
export async function billingState(sql: Sql, tenantId: string): Promise<unknown> {
  const [state] = await sql`
    select t.plan_id, t.stripe_customer_id, t.trial_ends_at,
      (select jsonb_agg(to_jsonb(s) - 'updated_at' order by s.stripe_subscription_id)
        from public.subscriptions s where s.tenant_id = t.id) as subscriptions,
      (select jsonb_agg(to_jsonb(i) - 'updated_at' order by i.stripe_invoice_id)
        from public.invoices i where i.tenant_id = t.id) as invoices,
      (select jsonb_agg(to_jsonb(p) order by p.stripe_invoice_id, p.attempt, p.status)
        from public.payments p where p.tenant_id = t.id) as payments,
      (select jsonb_agg(jsonb_build_array(g.stripe_subscription_id, g.month_end, g.granted, g.remaining)
          order by g.stripe_subscription_id, g.month_end)
        from private.credit_grants g where g.tenant_id = t.id and g.granted > 0) as grants,
      public.get_credit_balance(t.id) as credits,
      (select jsonb_agg(jsonb_build_array(c.status, c.completed_at, c.stripe_session_id) order by c.id)
        from public.checkout_sessions c where c.tenant_id = t.id) as checkouts
    from public.tenants t where t.id = ${tenantId}`;
  return state;
}
