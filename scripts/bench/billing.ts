import type { Sql } from "postgres";
import { benchGrowth } from "./billing_growth.ts";
import { benchUpgrades, type Latency } from "./billing_latency.ts";
import { benchWebhooks } from "./billing_webhooks.ts";
import type { Comparison } from "./compare.ts";

export interface Database {
  sql: Sql;
  url: string;
}

/** Databases of the same cluster, each of which this part has for itself. */
export type BillingDatabases = Record<"billing" | "few" | "many", Database>;

/** Webhooks, the way from an upgrade to its limit, and what the inbox and the ledger cost once they are long. */
export async function benchBilling({
  billing,
  few,
  many,
}: BillingDatabases): Promise<(Comparison | Latency)[]> {
  return [
    ...(await benchWebhooks(billing.sql, billing.url)),
    await benchUpgrades(billing.sql, billing.url),
    ...(await benchGrowth({ ...few, events: 2_400 }, { ...many, events: 200_400 })),
  ];
}
