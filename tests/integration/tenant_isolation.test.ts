import { randomUUID } from "node:crypto";
import type { SupabaseClient } from "@supabase/supabase-js";
import { beforeAll, describe, expect, test } from "vitest";
import { createMeterbase, PermissionError } from "../../src/index.ts";
import { anon, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";

const TENANT_TABLES = [
  ["tenants", "id"],
  ["memberships", "tenant_id"],
  ["tenant_limits", "tenant_id"],
  ["entitlements", "tenant_id"],
  ["tenant_usage_realtime", "tenant_id"],
  ["quota_decisions", "tenant_id"],
  ["audit_events", "tenant_id"],
] as const;

let owner: Person;
let stranger: Person;
let tenant: Tenant;

beforeAll(async () => {
  [owner, stranger] = await Promise.all([signUp(), signUp()]);
  tenant = await createTenant(owner.client);
  await createTenant(stranger.client);
  const mb = createMeterbase(owner.client);
  await mb.usage.recordUsage(tenant.id, [{ event_id: "1", event_type: "api_call", api_status_code: 200 }]);
  await mb.quota.consumeQuota(tenant.id, "tokens", { amount: 1_000_000 });
  await createMeterbase(service).quota.setCustomQuota(tenant.id, "embeddings", 7);
});

describe("a user of another tenant", () => {
  test.each(TENANT_TABLES)("reads nothing of %s, whose owner does", async (table, column) => {
    const read = ({ client }: Person) =>
      (client as unknown as SupabaseClient).from(table).select("*").eq(column, tenant.id);
    const own = await read(owner);
    expect(own.error).toBeNull();
    expect(own.data?.length).toBeGreaterThan(0);
    const foreign = await read(stranger);
    expect(foreign.error).toBeNull();
    expect(foreign.data).toEqual([]);
  });

  test("changes nothing", async () => {
    const renamed = await stranger.client
      .from("tenants")
      .update({ name: "taken" })
      .eq("id", tenant.id)
      .select();
    expect(renamed.data).toEqual([]);
    const joined = await stranger.client
      .from("memberships")
      .insert({ tenant_id: tenant.id, user_id: stranger.id, role: "owner" });
    expect(joined.status).toBe(403);
    const deleted = await stranger.client.from("tenants").delete().eq("id", tenant.id);
    expect(deleted.status).toBe(403);
    const { data } = await owner.client.from("tenants").select("name").eq("id", tenant.id).single();
    expect(data?.name).toBe(tenant.name);
  });

  test("is refused by every function", async () => {
    const mb = createMeterbase(stranger.client);
    const calls = [
      mb.quota.consumeQuota(tenant.id, "tokens"),
      mb.quota.checkTenantQuota(tenant.id, "tokens"),
      mb.quota.reserveQuota(tenant.id, "tokens", 1),
      mb.quota.getQuotaStatus(tenant.id),
      mb.quota.setCustomQuota(tenant.id, "tokens", null),
      mb.usage.recordUsage(tenant.id, [{ event_id: randomUUID(), event_type: "api_call" }]),
      mb.usage.getTodayUsage(tenant.id),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { status: 403 } });
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(PermissionError);
    }
  });
});

test("an owner cannot write what only functions may", async () => {
  const { client } = owner;
  const upgraded = await client.from("tenants").update({ plan_id: "enterprise" }).eq("id", tenant.id);
  expect(upgraded.status).toBe(403);
  const limit = await client
    .from("tenant_limits")
    .insert({ tenant_id: tenant.id, metric: "tokens", period: "day" });
  expect(limit.status).toBe(403);
  const forged = await client.from("tenant_usage_realtime").delete().eq("tenant_id", tenant.id);
  expect(forged.status).toBe(403);
});

test("nobody signed in sees the catalogue and no tenant", async () => {
  expect((await anon.from("billing_plans").select("id")).data?.length).toBe(7);
  const { data, error } = await anon.from("tenants").select("id");
  expect(data ?? []).toEqual([]);
  expect(error).not.toBeNull();
});
