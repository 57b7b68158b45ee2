import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeEach, expect, inject, test } from "vitest";
import { callFunction, chat, createTenant, type Person, signUp, type Tenant } from "../helpers/people.ts";

const { databaseUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

let owner: Person;
let tenant: Tenant;

beforeEach(async () => {
  owner = await signUp();
  tenant = await createTenant(owner.client, "trial");
  await sql`update public.tenants set plan_id = 'pro' where id = ${tenant.id}`;
});

const path = () => `api/tenants/${tenant.id}/api-keys`;
async function makeKey(role = "editor", rest: object = {}): Promise<{ id: string; secret: string }> {
  const response = await callFunction(path(), owner.token, {
    method: "POST",
    body: { name: "CI", role, ...rest },
  });
  expect(response.status).toBe(201);
  return response.json();
}
const errorOf = async (response: Response) => [response.status, (await response.json()).error.code];
const usage = (secret: string) => callFunction("api/rate-limit/usage", secret);

test("a key is shown once, and chats and reads as its tenant", async () => {
  const { id, secret } = await makeKey();
  expect(secret).toMatch(/^sk_live_[0-9A-Za-z]{36}$/);
  const listed = await (await callFunction(path(), owner.token)).json();
  expect(listed).toMatchObject([{ id, name: "CI", role: "editor", prefix: secret.slice(0, 12) }]);
  expect(JSON.stringify(listed)).not.toContain(secret);

  const answer = await chat(secret, { message: "Hello", session_id: "s" });
  expect(answer.status).toBe(200);
  expect((await usage(secret)).status).toBe(200);
  const [event] = await sql`
    select subject from public.tenant_usage_realtime where tenant_id = ${tenant.id} and event_type = 'chat_message'`;
  expect(event?.subject).toBe(id);
  const audited = await sql`
    select event_type, actor_type, actor_id from public.audit_events
    where tenant_id = ${tenant.id} and event_type like 'chat%' order by event_type`;
  expect([...audited]).toEqual([
    { event_type: "chat_message_received", actor_type: "api_key", actor_id: id },
    { event_type: "chat_response_sent", actor_type: "api_key", actor_id: id },
  ]);

  await sql`select private.fold_api_key_uses()`;
  const [used] = await (await callFunction(path(), owner.token)).json();
  expect(used).toMatchObject({ request_count: 2, last_used_at: expect.any(String) });
});

test("a key may what its role may, in its own tenant", async () => {
  const viewer = await makeKey("viewer");
  expect(await errorOf(await chat(viewer.secret, { message: "Hello" }))).toEqual([403, "permission_denied"]);
  expect((await callFunction(`api/tenants/${tenant.id}/members`, viewer.secret)).status).toBe(200);
  expect(await errorOf(await callFunction(`api/tenants/${tenant.id}/audit-events`, viewer.secret))).toEqual([
    403,
    "permission_denied",
  ]);
  const other = await createTenant((await signUp()).client);
  const editor = await makeKey("editor");
  const elsewhere = await chat(editor.secret, { tenant_id: other.id, message: "Hello" });
  expect(await errorOf(elsewhere)).toEqual([403, "permission_denied"]);

  const admin = await makeKey("admin");
  const make = (role: string) =>
    callFunction(path(), admin.secret, { method: "POST", body: { name: "next", role } });
  expect((await make("admin")).status).toBe(201);
  expect(await errorOf(await make("owner"))).toEqual([403, "role_above_own"]);
});

test("a revoked key is refused at the next request", async () => {
  for (let round = 0; round < 10; round++) {
    const { id, secret } = await makeKey();
    expect((await usage(secret)).status).toBe(200);
    const revoked = await callFunction(`${path()}/${id}`, owner.token, { method: "DELETE" });
    expect(revoked.status).toBe(204);
    expect(await errorOf(await usage(secret))).toEqual([401, "invalid_api_key"]);
  }
});

test("an expired key is refused, by the tenant's clock", async () => {
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  const { secret } = await makeKey("viewer", { expires_at });
  expect((await usage(secret)).status).toBe(200);
  await sql`update public.tenants set clock_offset = '1 hour' where id = ${tenant.id}`;
  expect(await errorOf(await usage(secret))).toEqual([401, "invalid_api_key"]);
});

test("a secret that was never made, or was changed, is a 401", async () => {
  const { secret } = await makeKey();
  const uses = async () => {
    const [count] = await sql`select coalesce(sum(uses), 0)::int as n from private.api_key_uses`;
    return count?.n;
  };
  const before = await uses();
  for (const bad of [`${secret.slice(0, -1)}!`, secret.slice(0, -1), `sk_live_${"0".repeat(36)}`, "sk_"]) {
    expect(await errorOf(await usage(bad))).toEqual([401, "invalid_api_key"]);
  }
  expect(await uses()).toBe(before);
  expect(await errorOf(await usage(randomUUID()))).toEqual([401, "unauthorized"]);
});

test("requests with one key count exactly, however many come at once", async () => {
  const { id, secret } = await makeKey("viewer");
  await sql`update public.tenants set plan_id = 'enterprise' where id = ${tenant.id}`;
  const answers = await Promise.all(Array.from({ length: 64 }, () => usage(secret)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  await sql`select private.fold_api_key_uses()`;
  const [key] = await sql`select request_count::int from public.api_keys where id = ${id}`;
  expect(key?.request_count).toBe(64);
});
