import { beforeAll, describe, expect, inject, test } from "vitest";
import { createMeterbase } from "../../src/index.ts";
import { callFunction, createTenant, type Person, service, signUp } from "../helpers/people.ts";

const ROLES = ["viewer", "editor", "admin"] as const;
const READS = ["current", "invoices", "usage"];
const ORDERS: [path: string, body: object][] = [
  ["checkout", { planId: "startup_monthly" }],
  ["portal", {}],
  ["create", { planId: "startup_monthly" }],
  ["cancel", {}],
  ["resume", {}],
  ["change-plan", { newPlanId: "enterprise_monthly" }],
];
const MAINTENANCE = ["recover", "reconcile"];

let tenantId: string;
let owner: Person;
/** Who asks, and their access token or API key. */
const tokens: Record<string, string | null> = { nobody: null, forged: "sk_live_forged" };

beforeAll(async () => {
  owner = await signUp();
  tenantId = (await createTenant(owner.client)).id;
  const otherOwner = await signUp();
  const otherTenant = await createTenant(otherOwner.client);
  tokens.owner = owner.token;
  tokens["another tenant's owner"] = otherOwner.token;
  for (const role of ROLES) {
    const member = await signUp();
    const { error } = await service
      .from("memberships")
      .insert({ tenant_id: tenantId, user_id: member.id, role });
    if (error) throw error;
    tokens[role] = member.token;
    const key = await createMeterbase(owner.client).apiKeys.createApiKey(tenantId, { name: role, role });
    tokens[`${role}'s key`] = key.secret;
  }
  const ownersKey = await createMeterbase(owner.client).apiKeys.createApiKey(tenantId, {
    name: "owner",
    role: "owner",
  });
  tokens["owner's key"] = ownersKey.secret;
  const foreign = createMeterbase(otherOwner.client).apiKeys;
  tokens["another tenant's key"] = (
    await foreign.createApiKey(otherTenant.id, { name: "foreign", role: "owner" })
  ).secret;
});

const OUTSIDERS = ["nobody", "forged", "another tenant's owner", "another tenant's key"];
const MEMBERS = ROLES.flatMap((role) => [role, `${role}'s key`]);

const read = (path: string, actor: string) =>
  callFunction(`billing/${path}?tenant_id=${tenantId}`, tokens[actor] ?? null);
const order = (path: string, actor: string, body: object) =>
  callFunction(`billing/${path}`, tokens[actor] ?? null, {
    method: "POST",
    body: { tenant_id: tenantId, ...body },
  });

async function expectRefused(response: Response): Promise<void> {
  const { error } = (await response.json()) as { error: { code: string } };
  expect([response.status, error.code]).toEqual(
    response.status === 401
      ? [401, expect.stringMatching(/^(unauthorized|invalid_api_key)$/)]
      : [403, expect.stringMatching(/^(permission_denied)$/)],
  );
}

describe.each([...OUTSIDERS, ...MEMBERS])("%s", (actor) => {
  test.each(READS)("GET %s", async (path) => {
    const response = await read(path, actor);
    if (path === "usage" && MEMBERS.includes(actor)) expect(response.status).toBe(200);
    else await expectRefused(response);
  });
  test.each(ORDERS)("POST %s", async (path, body) => {
    await expectRefused(await order(path, actor, body));
  });
  test.each(MAINTENANCE)("POST %s", async (path) => {
    expect((await order(path, actor, {})).status).toBe(401);
  });
  test("GET plans", async () => {
    const response = await read("plans", actor);
    expect(response.status).toBe(200);
    expect(await response.json()).toContainEqual({
      id: "startup_annual",
      name: "Startup Audit - Annual",
      priceId: "price_startup_annual",
      creditsPerMonth: 350,
      planId: "startup",
      interval: "year",
      unitAmount: 49_900,
      currency: "usd",
      discountPercent: 15.1,
    });
  });
});

test("nothing of all that was left behind", async () => {
  const { data } = await service.from("checkout_sessions").select("id").eq("tenant_id", tenantId);
  expect(data).toEqual([]);
});

test.each(["owner", "owner's key"])("%s may", async (actor) => {
  for (const path of READS) expect((await read(path, actor)).status).toBe(200);
  const checkout = await order("checkout", actor, { planId: "startup_monthly" });
  expect(checkout.status).toBe(201);
  expect(await checkout.json()).toMatchObject({ url: expect.stringContaining(inject("stack").stripeUrl) });
  const cancel = await order("cancel", actor, {});
  expect([cancel.status, (await cancel.json()).error.code]).toEqual([409, "no_subscription"]);
});

test("what is not on sale, or goes somewhere else, is refused with its reason", async () => {
  for (const [body, status, code] of [
    [{ planId: "pro_monthly" }, 409, "price_not_for_sale"],
    [{ planId: "gold" }, 404, "price_not_found"],
    [{ planId: "startup_monthly", successUrl: "https://evil.example/" }, 400, "redirect_not_allowed"],
    [{}, 400, "invalid_request"],
  ] as const) {
    const response = await order("checkout", "owner", body);
    expect([response.status, (await response.json()).error.code]).toEqual([status, code]);
  }
});

test("the same Idempotency-Key is the same checkout", async () => {
  const post = async (key: string, planId: string) => {
    const response = await fetch(`${inject("stack").url}/functions/v1/billing/checkout`, {
      method: "POST",
      headers: { authorization: `Bearer ${owner.token}`, "idempotency-key": key },
      body: JSON.stringify({ tenant_id: tenantId, planId }),
    });
    return { status: response.status, body: await response.json() };
  };
  const [first, second] = [await post("once", "startup_monthly"), await post("once", "startup_monthly")];
  expect(first).toEqual(second);
  expect((await post("again", "startup_monthly")).body.id).not.toBe(first.body.id);
  expect(await post("once", "enterprise_monthly")).toMatchObject({
    status: 409,
    body: { error: { code: "idempotency_key_reused" } },
  });
});
