import postgres from "postgres";
import { afterAll, beforeEach, expect, inject, test } from "vitest";
import { callFunction, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { eventually } from "../helpers/starter.ts";

const { databaseUrl, mailboxUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

let owner: Person;
let guest: Person;
let tenant: Tenant;

beforeEach(async () => {
  [owner, guest] = await Promise.all([signUp(), signUp()]);
  tenant = await createTenant(owner.client);
});

const post = (path: string, { token }: Person, body: object) =>
  callFunction(`api${path}`, token, { method: "POST", body });
const invite = (email: string, role = "editor") =>
  post(`/tenants/${tenant.id}/members`, owner, { email, role });
const errorOf = async (response: Response) => [response.status, (await response.json()).error.code];

/** The token in the mail that came to an address last. */
async function mailedToken(address: string): Promise<string> {
  return eventually(async (): Promise<string> => {
    const mails = (await (await fetch(`${mailboxUrl}/messages`)).json()) as { to: string[]; text: string }[];
    const token = /token=(inv_[0-9a-f]+)/.exec(
      mails.findLast(({ to }) => to.includes(address))?.text ?? "",
    )?.[1];
    expect(token).toBeDefined();
    return token as string;
  });
}

test("whoever is invited gets a mail, joins with its token, and may then do what their role may", async () => {
  expect((await invite(guest.email)).status).toBe(201);
  const token = await mailedToken(guest.email);
  const usage = `api/rate-limit/usage?tenant_id=${tenant.id}`;
  expect((await callFunction(usage, guest.token)).status).toBe(403);

  const accepted = await post("/invites/accept", guest, { token });
  expect(accepted.status).toBe(200);
  expect(await accepted.json()).toMatchObject({ tenant_id: tenant.id, user_id: guest.id, role: "editor" });
  expect((await callFunction(usage, guest.token)).status).toBe(200);

  const members = await (await callFunction(`api/tenants/${tenant.id}/members`, guest.token)).json();
  expect(members).toMatchObject([
    { user_id: owner.id, email: owner.email, role: "owner" },
    { user_id: guest.id, email: guest.email, role: "editor" },
  ]);
  expect(await errorOf(await post("/invites/accept", guest, { token }))).toEqual([409, "invite_closed"]);

  const [sent] = await sql`
    select status, attempts, sent_at is not null as dated from public.alert_notifications
    where recipient = ${guest.email}`;
  expect(sent).toEqual({ status: "sent", attempts: 1, dated: true });
});

test("another address is refused, whatever its user says of themselves", async () => {
  await invite(guest.email);
  const token = await mailedToken(guest.email);
  const other = await signUp();
  expect(await errorOf(await post("/invites/accept", other, { token }))).toEqual([403, "invite_for_another"]);
  await other.client.auth.updateUser({ data: { email: guest.email } });
  const { data } = await other.client.auth.refreshSession();
  const again = { ...other, token: data.session?.access_token ?? "" };
  expect(await errorOf(await post("/invites/accept", again, { token }))).toEqual([403, "invite_for_another"]);
  expect((await post("/invites/accept", guest, { token })).status).toBe(200);
});

test("after seven days by the test clock an invite is over, and its seat is free", async () => {
  tenant = (await service.rpc("create_tenant", { name: "Lab", plan_id: "pro", is_test: true }))
    .data as Tenant;
  await sql`insert into public.memberships (tenant_id, user_id, role) values (${tenant.id}, ${owner.id}, 'owner')`;
  await service.rpc("set_custom_quota", { tenant_id: tenant.id, metric: "team_members", limit_value: 2 });
  await invite(guest.email);
  const token = await mailedToken(guest.email);
  const other = await signUp();
  expect(await errorOf(await invite(other.email))).toEqual([403, "seat_limit_reached"]);

  const forward = (clock_offset: string) =>
    owner.client.rpc("set_test_clock", { tenant_id: tenant.id, clock_offset });
  expect((await forward("6 days 23:59")).error).toBeNull();
  expect(await errorOf(await invite(other.email))).toEqual([403, "seat_limit_reached"]);
  expect((await forward("7 days 00:01")).error).toBeNull();
  expect((await forward("1 day")).error?.hint).toBe("invalid_clock_offset");
  expect(await errorOf(await post("/invites/accept", guest, { token }))).toEqual([409, "invite_expired"]);
  expect((await invite(other.email)).status).toBe(201);
});

test("of accepts at once, one wins", async () => {
  for (let round = 0; round < 5; round++) {
    const someone = await signUp();
    const { token } = await (await invite(someone.email)).json();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post("/invites/accept", someone, { token })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array(7).fill(409)]);
  }
});

test("of an accept and a reject at once, one wins", async () => {
  for (let round = 0; round < 5; round++) {
    const someone = await signUp();
    const { token } = await (await invite(someone.email)).json();
    const answers = await Promise.all(
      ["accept", "reject"].map((v) => post(`/invites/${v}`, someone, { token })),
    );
    const [accepted, rejected] = answers.map(({ status }) => status);
    expect([accepted, rejected]).toContain(409);
    const rows = await sql`
      select from public.memberships where tenant_id = ${tenant.id} and user_id = ${someone.id}`;
    expect([accepted, rejected, rows.length]).toEqual(accepted === 200 ? [200, 409, 1] : [409, 204, 0]);
  }
});

test("an invite is replaced by the next, and revoked", async () => {
  await invite(guest.email, "viewer");
  const first = await mailedToken(guest.email);
  const { token, invite_id } = await (await invite(guest.email, "admin")).json();
  expect(await errorOf(await post("/invites/accept", guest, { token: first }))).toEqual([
    409,
    "invite_closed",
  ]);
  const invites = await (await callFunction(`api/tenants/${tenant.id}/invites`, owner.token)).json();
  expect(invites.map(({ status }: { status: string }) => status).sort()).toEqual(["pending", "revoked"]);
  expect(JSON.stringify(invites)).not.toContain("inv_");
  const path = `api/tenants/${tenant.id}/invites/${invite_id}`;
  expect((await callFunction(path, owner.token, { method: "DELETE" })).status).toBe(204);
  expect(await errorOf(await post("/invites/accept", guest, { token }))).toEqual([409, "invite_closed"]);
});

test("who may not invite is refused, and nothing leaves", async () => {
  const path = `/tenants/${tenant.id}/members`;
  const body = { email: "x@example.com", role: "viewer" };
  expect(await errorOf(await post(path, guest, body))).toEqual([403, "permission_denied"]);
  expect(await errorOf(await post(path, owner, { ...body, email: "x" }))).toEqual([400, "invalid_email"]);
  expect(await sql`select from public.alert_notifications where tenant_id = ${tenant.id}`).toHaveLength(0);
});
