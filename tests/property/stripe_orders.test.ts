import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  billingState,
  DAY_SECONDS,
  event,
  ingest,
  invoice,
  type Shape,
  type StripeEvent,
  subscription,
} from "../helpers/stripe_events.ts";
import { newTenant } from "../helpers/usage.ts";

let sql: Sql;
beforeAll(() => {
  sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
});
afterAll(() => sql.end());

const NOW = Math.floor(Date.now() / 1000);
const START = NOW - 5 * DAY_SECONDS;
const END = START + 30 * DAY_SECONDS;

/** The six events of a subscription's life; those that share a second differ only in what they say of each other. */
function lifecycle(tenantId: string, shape: Shape, ending: "active" | "deleted"): StripeEvent[] {
  const of = (fields: Partial<Parameters<typeof subscription>[0]>) =>
    subscription(
      {
        id: "sub_order",
        customer: "cus_order",
        tenantId,
        price: "price_startup_monthly",
        status: "active",
        start: START,
        end: END,
        ...fields,
      },
      shape,
    );
  const bill = (fields: Partial<Parameters<typeof invoice>[0]>) =>
    invoice(
      {
        id: "in_order",
        customer: "cus_order",
        subscription: "sub_order",
        tenantId,
        status: "open",
        attempts: 1,
        created: START,
        lines: [{ id: "il_order", price: "price_startup_monthly", amount: 4900, start: START, end: END }],
        ...fields,
      },
      shape,
    );
  const enterprise = { price: "price_enterprise_monthly" };
  const opened = of({ status: "incomplete" });
  const paid = of({});
  const upgraded = of(enterprise);
  const last = ending === "deleted" ? of({ ...enterprise, status: "canceled", endedAt: START + 90 }) : null;
  return [
    event("evt_1_created", "customer.subscription.created", START, opened, { shape }),
    // In the second of its creation; its id sorts before, so nothing but the rule can put it after.
    event("evt_0_active", "customer.subscription.updated", START, paid, {
      shape,
      previous: { status: "incomplete" },
    }),
    event("evt_2_declined", "invoice.payment_failed", START, bill({}), { shape }),
    event("evt_3_paid", "invoice.paid", START + 1, bill({ status: "paid", attempts: 2 }), { shape }),
    // Cancelled and, in the same second, upgraded instead: once more only previous_attributes tell.
    event("evt_9_leaving", "customer.subscription.updated", START + 60, of({ cancelAtPeriodEnd: true }), {
      shape,
      previous: { cancel_at_period_end: false },
    }),
    last
      ? event("evt_5_deleted", "customer.subscription.deleted", START + 60, last, { shape })
      : event("evt_4_upgraded", "customer.subscription.updated", START + 60, upgraded, {
          shape,
          previous: { cancel_at_period_end: true, items: (paid as { items?: unknown }).items },
        }),
  ];
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

const shapes: Shape[] = ["2026-10-28.endive", "2024-06-20"];
const cases = shapes.flatMap((shape) =>
  (["active", "deleted"] as const).map((ending) => ({ shape, ending })),
);

describe.each(cases)("$shape, $ending", ({ shape, ending }) => {
  test("all 720 orders of six events, each of them twice, end in one state", async () => {
    const tenantId = await newTenant(sql, "free");
    const events = lifecycle(tenantId, shape, ending);
    const states = new Map<string, string[]>();
    for (const [n, order] of permutations(events).entries()) {
      await sql`begin`;
      for (const [i, sent] of order.entries()) {
        await ingest(sql, sent);
        // The one that came n events before comes again.
        await ingest(sql, order[Math.max(0, i - (n % 6))] as StripeEvent);
      }
      const state = JSON.stringify(await billingState(sql, tenantId));
      states.set(state, [...(states.get(state) ?? []), order.map(({ id }) => id).join(" ")]);
      const [inbox] = await sql`
        select count(*)::int as events, sum(duplicates)::int as duplicates, count(*) filter (where status = 'failed')::int as failed
        from public.stripe_events where object_id in ('sub_order', 'in_order')`;
      expect(inbox).toEqual({ events: 6, duplicates: 6, failed: 0 });
      await sql`rollback`;
    }
    expect([...states.values()].map((orders) => [orders.length, orders[0]])).toEqual([
      [720, expect.anything()],
    ]);

    const [state] = [...states.keys()].map((text) => JSON.parse(text));
    const isActive = ending === "active";
    expect(state).toMatchObject({
      plan_id: isActive ? "enterprise" : "free",
      stripe_customer_id: "cus_order",
      subscriptions: [
        { status: isActive ? "active" : "canceled", price_id: "enterprise_monthly", is_in_force: isActive },
      ],
      invoices: [{ status: "paid", attempt_count: 2 }],
      payments: [
        { attempt: 1, status: "failed" },
        { attempt: 2, status: "succeeded", amount: 4900 },
      ],
    });
    expect(state.credits).toBe("300");
    await sql`delete from public.tenants where id = ${tenantId}`;
  }, 300_000);
});
