import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
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

/** All their orders, or in the small run every eighth. */
function orders(events: StripeEvent[]): StripeEvent[][] {
  const all = permutations(events);
  const step = all.length / scaled(90, all.length);
  return all.filter((_, n) => n % step === 0);
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
    for (const [n, order] of orders(events).entries()) {
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
      [scaled(90, 720), expect.anything()],
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

// Any history ----------------------------------------------------------------------------------------------------------

interface Step {
  /** Seconds since the step before. */
  after: number;
  change: Partial<{
    status: string;
    price: string;
    cancelAtPeriodEnd: boolean;
    renewed: boolean;
    note: string;
  }>;
}

const step: fc.Arbitrary<Step> = fc.record({
  after: fc.constantFrom(0, 0, 0, 1, 60),
  change: fc.record(
    {
      status: fc.constantFrom("active", "past_due", "trialing", "unpaid"),
      price: fc.constantFrom("price_startup_monthly", "price_enterprise_monthly"),
      cancelAtPeriodEnd: fc.boolean(),
      renewed: fc.boolean(),
      note: fc.constantFrom("a", "b"),
    },
    { requiredKeys: [] },
  ),
});

/** Stripe's previous_attributes: what an object had where another one differs, with nested hashes by their parts. */
function previousAttributes(before: object, after: object): Record<string, unknown> {
  const differences = Object.entries(after).flatMap(([key, value]): [string, unknown][] => {
    const old = (before as Record<string, unknown>)[key];
    if (JSON.stringify(old) === JSON.stringify(value)) return [];
    return key === "metadata" ? [[key, previousAttributes(old as object, value)]] : [[key, old ?? null]];
  });
  return Object.fromEntries(differences);
}

/** The events of a subscription that goes through these steps; at most six of them in a second, and none without a change. */
function told(tenantId: string, steps: Step[], isEnded: boolean): StripeEvent[] {
  const fields = {
    id: "sub_any",
    customer: "cus_any",
    tenantId,
    price: "price_startup_monthly",
    status: "incomplete",
    cancelAtPeriodEnd: false,
    start: START,
    end: END,
  };
  let [created, inSecond, note] = [START, 1, "a"];
  const object = () => {
    const { metadata, ...rest } = subscription({ ...fields }, "2026-10-28.endive");
    // The creation stays what it is, however often the period begins anew.
    return { ...rest, created: START, metadata: { ...(metadata as object), note } } as ReturnType<
      typeof subscription
    >;
  };
  let last = object();
  const events = [event("evt_any_0", "customer.subscription.created", created, last)];
  for (const { after, change } of steps) {
    const { renewed, note: noted, ...changed } = change;
    Object.assign(fields, changed);
    if (renewed) Object.assign(fields, { start: fields.end, end: fields.end + 30 * DAY_SECONDS });
    note = noted ?? note;
    const next = object();
    const previous = previousAttributes(last, next);
    if (Object.keys(previous).length === 0) continue;
    const waits = after > 0 || inSecond === 6 ? Math.max(after, 1) : 0;
    inSecond = waits > 0 ? 1 : inSecond + 1;
    created += waits;
    // Ids that say nothing of the order.
    const id = `evt_any_${(events.length * 7919) % 1009}`;
    events.push(event(id, "customer.subscription.updated", created, next, { previous }));
    last = next;
  }
  if (isEnded) {
    Object.assign(fields, { status: "canceled", endedAt: created });
    events.push(event("evt_any_end", "customer.subscription.deleted", created, object()));
  }
  return events;
}

test("any history of a subscription, told in any order, ends where it ended", async () => {
  const history = fc
    .record({
      steps: fc.array(step, { minLength: 1, maxLength: 14, size: "max" }),
      isEnded: fc.boolean(),
      again: fc.array(fc.nat({ max: 14 }), { maxLength: 5 }),
    })
    .chain((some) =>
      fc.record({
        some: fc.constant(some),
        order: fc.shuffledSubarray([...Array(some.steps.length + 2).keys()], {
          minLength: some.steps.length + 2,
        }),
      }),
    );
  const tenantId = await newTenant(sql, "free");
  await fc.assert(
    fc.asyncProperty(history, async ({ some: { steps, isEnded, again }, order }) => {
      const events = told(tenantId, steps, isEnded);
      const play = async (sent: StripeEvent[]) => {
        await sql`begin`;
        try {
          for (const one of sent) expect((await ingest(sql, one)).status).not.toBe("failed");
          const [row] = await sql`
            select to_jsonb(s) - 'updated_at' as subscription, t.plan_id
            from public.subscriptions s join public.tenants t on t.id = s.tenant_id
            where s.stripe_subscription_id = 'sub_any'`;
          return row;
        } finally {
          await sql`rollback`;
        }
      };
      const shuffled = order.flatMap((n) => events[n] ?? []);
      const repeated = again.flatMap((n) => events[n] ?? []);
      const inOrder = await play(events);
      expect(await play([...shuffled, ...repeated])).toEqual(inOrder);
      const { status, cancel_at_period_end } = (events.at(-1) as StripeEvent).data.object;
      expect(inOrder?.subscription).toMatchObject({ status, cancel_at_period_end });
    }),
    { endOnFailure: true, numRuns: scaled(60, 1_000) },
  );
}, 600_000);
