import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createMeterbase, type QuotaStatus } from "../../src/index.ts";
import { importTrace } from "../import/import_trace.ts";
import type { StackInfo } from "../stack/stack.ts";
import { supabaseClient } from "../supabase_client.ts";
import { formatTrace, generateTrace } from "./generated_trace.ts";

export const DEMO_USER = { email: "demo@example.com", password: "demo-password" };

export interface DemoResult {
  /** How many, and events and tokens recorded in all of them. */
  tenants: number;
  events: number;
  tokens: number;
  chat: { sent: number; allowed: number; denied: number };
  /** Every entitlement of every tenant. */
  quota: (QuotaStatus & { tenant: string })[];
  /** The sentence that the last chat request was refused with. */
  denial: string;
  usage: ({ tenant: string; plan: string } & Totals)[];
}

interface Totals {
  events: number;
  tokens: number;
  cost: number;
}

const MAX_MESSAGES = 200;
const IMPORTED = { tenants: 5, rows: 2_000, prefix: "Sample tenant" };

/** Signs a user up, lets them chat on a trial until the quota says no, and imports other tenants' traffic. */
export async function runScenario(info: StackInfo, log: (line: string) => void): Promise<DemoResult> {
  const service = supabaseClient(info.url, info.secretKey);
  const user = supabaseClient(info.url, info.publishableKey);
  const token = await signIn(user);
  log(`signed up ${DEMO_USER.email}`);

  const created = await user.rpc("create_tenant", { name: "Demo", plan_id: "trial" });
  if (created.error) throw new Error(`create_tenant: ${created.error.message}`);
  const demo = created.data;
  log(
    `created the tenant "${demo.name}" on the trial plan: 10,000 tokens a day, 100 messages a day, 30 requests a minute`,
  );

  const chat = { sent: 0, allowed: 0, denied: 0 };
  let denial = "";
  for (const { contextTokens } of generateTrace(MAX_MESSAGES, 7)) {
    const message = "What did we use today, and what is left? ".repeat(Math.ceil(contextTokens / 20));
    chat.sent++;
    const response = await fetch(`${info.url}/functions/v1/chat`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        apikey: info.publishableKey,
        "content-type": "application/json",
      },
      body: JSON.stringify({ tenant_id: demo.id, message }),
    });
    const body = (await response.json()) as { error?: { message: string } };
    if (response.ok) {
      chat.allowed++;
    } else if (response.status === 429) {
      chat.denied++;
      denial = body.error?.message ?? "";
      break;
    } else {
      throw new Error(`chat answered ${response.status}: ${JSON.stringify(body)}`);
    }
  }
  log(`chatted over HTTP: ${chat.allowed} messages answered, then 429: ${denial}`);

  const imported = await importSample(service);
  log(`imported ${IMPORTED.rows.toLocaleString("en-US")} events of ${IMPORTED.tenants} other tenants`);

  const result: DemoResult = { tenants: 0, events: 0, tokens: 0, chat, quota: [], denial, usage: [] };
  const mb = createMeterbase(service);
  const { data: tenants, error } = await service
    .from("tenants")
    .select("id, name, plan_id")
    .in("id", [demo.id, ...imported])
    .order("name");
  if (error) throw new Error(`tenants: ${error.message}`);
  for (const tenant of tenants) {
    const totals = await recordedTotals(service, tenant.id);
    result.usage.push({ tenant: tenant.name, plan: tenant.plan_id, ...totals });
    result.tenants++;
    result.events += totals.events;
    result.tokens += totals.tokens;
    const status = await mb.quota.getQuotaStatus(tenant.id);
    result.quota.push(...status.map((entry) => ({ tenant: tenant.name, ...entry })));
  }
  return result;
}

/** Signs up, or signs in where an earlier run on the same database has signed up. */
async function signIn(user: Client): Promise<string> {
  const signedUp = await user.auth.signUp(DEMO_USER);
  const session = signedUp.data.session ?? (await user.auth.signInWithPassword(DEMO_USER)).data.session;
  if (!session) throw new Error(`sign-up failed: ${signedUp.error?.message ?? "no session"}`);
  return session.access_token;
}

/** What is recorded of a tenant, also before today. */
async function recordedTotals(client: Client, tenantId: string): Promise<Totals> {
  const page = 1_000;
  const totals: Totals = { events: 0, tokens: 0, cost: 0 };
  for (let from = 0; ; from += page) {
    const { data, error } = await client
      .from("tenant_usage_realtime")
      .select("tokens_consumed, cost_usd")
      .eq("tenant_id", tenantId)
      .order("event_timestamp")
      .order("event_id")
      .range(from, from + page - 1);
    if (error) throw new Error(`tenant_usage_realtime: ${error.message}`);
    totals.events += data.length;
    for (const event of data) {
      totals.tokens += event.tokens_consumed;
      totals.cost += event.cost_usd ?? 0;
    }
    if (data.length < page) return totals;
  }
}

async function importSample(client: Client): Promise<string[]> {
  const dir = await mkdtemp(join(tmpdir(), "meterbase-demo-"));
  try {
    const path = join(dir, "trace.csv");
    await writeFile(path, formatTrace(generateTrace(IMPORTED.rows)));
    const result = await importTrace({ client, path, tenants: IMPORTED.tenants, prefix: IMPORTED.prefix });
    return result.tenant_ids;
  } finally {
    await rm(dir, { recursive: true });
  }
}
