import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { DAY_SECONDS, event, ingest, invoice, subscription } from "../helpers/stripe_events.ts";
import { until } from "../helpers/until.ts";
import { newTenant } from "../helpers/usage.ts";

// A database of its own: the schedule's second attempts are made here by hand.
let database: Database;
const connections: Sql[] = [];
const connect = () => {
  const connection = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  connections.push(connection);
  return connection;
};
beforeAll(async () => {
  database = await startDatabase();
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.end({ timeout: 1 })));
  await database?.stop();
});

const SHAPE = "2026-10-28.endive";
const NOW = Math.floor(Date.now() / 1000);
const period = { start: NOW, end: NOW + 30 * DAY_SECONDS };
const customer = "cus_1";

/** Two failed events of one customer, the invoice's due before the subscription's; then the customer is a tenant's. */
async function waitingEvents(sql: Sql): Promise<string> {
  const bill = {
    id: "in_1",
    customer,
    subscription: "sub_1",
    status: "paid" as const,
    attempts: 1,
    created: NOW,
  };
  const sold = { id: "sub_1", customer, price: "price_enterprise_monthly", status: "active", ...period };
  const lines = [{ id: "il_1", price: sold.price, amount: 14_900, ...period }];
  const paid = event("evt_1", "invoice.paid", NOW, invoice({ ...bill, lines }, SHAPE));
  const created = event("evt_2", "customer.subscription.created", NOW, subscription(sold, SHAPE));
  for (const sent of [paid, created]) expect((await ingest(sql, sent)).status).toBe("failed");
  const tenantId = await newTenant(sql, "free");
  await sql`update public.tenants set stripe_customer_id = ${customer} where id = ${tenantId}`;
  await sql`update public.stripe_events set next_attempt_at = now() - case id when 'evt_1' then interval '2 s' else '1 s' end`;
  return tenantId;
}

test.each([
  ["second attempts", (sql: Sql) => sql`select private.retry_stripe_events()`],
  [
    "a reconciliation",
    (sql: Sql) => {
      const sold = { customer, price: "price_enterprise_monthly", status: "active", ...period };
      const theirs = ["sub_0", "sub_1"].map((id) => subscription({ ...sold, id }, SHAPE));
      return sql`select from public.reconcile_subscriptions(${sql.json(theirs as never)}, now(), false)`;
    },
  ],
])("%s and a webhook of the same customer never wait in a circle", async (_, work) => {
  const [sql, webhook, worker] = [connect(), connect(), connect()];
  await sql`truncate public.stripe_events, private.stripe_objects, public.tenants cascade`;
  const tenantId = await waitingEvents(sql);
  const [{ pid }] = await worker<[{ pid: number }]>`select pg_backend_pid() as pid`;

  // The webhook has its object, and comes to the customer while the other waits for the object.
  await webhook`begin`;
  await webhook`select private.lock_stripe_object('sub_1')`;
  const working = work(worker).execute();
  await until(async () => {
    const [state] = await sql`select wait_event_type from pg_stat_activity where pid = ${pid}`;
    return state?.wait_event_type === "Lock";
  });
  await webhook`select private.lock_stripe_object(${customer})`;
  await webhook`commit`;
  await working;

  const [tenant] = await sql`select plan_id from public.tenants where id = ${tenantId}`;
  expect(tenant).toEqual({ plan_id: "enterprise" });
});
