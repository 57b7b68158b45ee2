import { randomUUID } from "node:crypto";
import { decodeJwt, type JWTPayload } from "jose";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { apiKeyClaims, signToken } from "../helpers/tokens.ts";

const { url, publishableKey, databaseUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

const OTHER_SECRET = "not-the-project's-secret-but-as-long-as-it-is-required";

let owner: Person;
let stranger: Person;
let acme: Tenant;
/** API keys: of acme, of acme but revoked, of acme but expired, of the stranger's tenant. */
let keys: Record<"live" | "revoked" | "expired" | "foreign", string>;

beforeAll(async () => {
  [owner, stranger] = await Promise.all([signUp(), signUp()]);
  acme = await createTenant(owner.client);
  const globex = await createTenant(stranger.client);
  const createKey = async (tenant: Tenant, expires_at?: string): Promise<string> => {
    const { data, error } = await service.rpc("create_api_key", {
      ...{ tenant_id: tenant.id, name: "key", role: "owner", ...(expires_at && { expires_at }) },
    });
    if (error || !data.id) throw new Error(`create_api_key: ${error?.message}`);
    return data.id;
  };
  const [live, revoked, expired, foreign] = await Promise.all([
    createKey(acme),
    createKey(acme),
    createKey(acme, new Date(Date.now() + 3_600_000).toISOString()),
    createKey(globex),
  ]);
  keys = { live, revoked, expired, foreign };
  await service.rpc("revoke_api_key", { id: revoked });
  await sql`update public.api_keys set expires_at = now() where id = ${expired}`;
  await sql`select record_usage(${acme.id}, '[{"event_id": "1", "event_type": "api_call"}]')`;
  await sql`select set_custom_quota(${acme.id}, 'embeddings', 1)`;
});

interface Attempt {
  method: "GET" | "POST" | "PATCH";
  path: string;
  body?: object;
}

/** Everything that is tried: each is something that acme's owner may do. */
const ATTEMPTS: [name: string, attempt: () => Attempt][] = [
  ...["tenants", "memberships", "api_keys", "entitlements", "tenant_usage_realtime", "audit_events"].map(
    (table): [string, () => Attempt] => {
      const key = table === "tenants" ? "id" : "tenant_id";
      return [table, () => ({ method: "GET", path: `/rest/v1/${table}?${key}=eq.${acme.id}` })];
    },
  ),
  ...(
    [
      ["get_quota_status", {}],
      ["get_members", {}],
      ["get_audit_events", {}],
      ["get_tenant_events", {}],
      ["get_rate_limit_usage", {}],
      ["verify_audit_chain", {}],
      ["consume_quota", { metric: "tokens" }],
      ["record_usage", { events: [{ event_id: "2", event_type: "api_call" }] }],
      ["create_api_key", { name: "back door", role: "owner" }],
    ] as [string, object][]
  ).map(([name, args]): [string, () => Attempt] => [
    `${name}()`,
    () => ({ method: "POST", path: `/rest/v1/rpc/${name}`, body: { tenant_id: acme.id, ...args } }),
  ]),
  [
    "renaming",
    () => ({ method: "PATCH", path: `/rest/v1/tenants?id=eq.${acme.id}`, body: { name: "Renamed" } }),
  ],
  [
    "chat",
    () => ({ method: "POST", path: "/functions/v1/chat", body: { tenant_id: acme.id, message: "Hello" } }),
  ],
  [
    "rate-limit/usage",
    () => ({ method: "GET", path: `/functions/v1/api/rate-limit/usage?tenant_id=${acme.id}` }),
  ],
  ["members", () => ({ method: "GET", path: `/functions/v1/api/tenants/${acme.id}/members` })],
];

async function send(
  token: string,
  { method, path, body }: Attempt,
): Promise<{ status: number; data: unknown }> {
  const response = await fetch(url + path, {
    method,
    headers: {
      apikey: publishableKey,
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      prefer: "return=representation",
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, data: text === "" ? null : JSON.parse(text) };
}

/** All that somebody might have changed. */
async function state(): Promise<unknown> {
  const [row] = await sql`
    select to_jsonb(t) as tenant,
      (select jsonb_agg(m order by m.user_id) from public.memberships m where m.tenant_id = t.id) as members,
      (select jsonb_agg(l) from public.tenant_limits l where l.tenant_id = t.id) as limits,
      (select jsonb_agg(c order by c.metric, c.period, c.subject) from private.quota_counters c where c.tenant_id = t.id)
        as counters,
      (select array_agg(k.id order by k.id) from public.api_keys k where k.tenant_id = t.id) as keys,
      (select count(*) from public.tenant_usage_realtime e where e.tenant_id = t.id) as events,
      (select count(*) from public.audit_events a where a.tenant_id = t.id) as audited
    from public.tenants t where t.id = ${acme.id}`;
  return row;
}

/** Tries everything as the bearer of a token, and tells how each went; acme is as it was. */
async function tryAll(token: string) {
  const before = await state();
  const tries = ATTEMPTS.map(async ([name, attempt]) => ({ name, ...(await send(token, attempt())) }));
  const answers = await Promise.all(tries);
  expect(await state()).toEqual(before);
  return answers;
}

/** Everything is refused, or finds no row. */
async function expectNothing(token: string, statuses = [401, 403]): Promise<void> {
  const answers = await tryAll(token);
  const isNothing = ({ status, data }: { status: number; data: unknown }) =>
    statuses.includes(status) || (status === 200 && Array.isArray(data) && data.length === 0);
  expect(answers.filter((answer) => !isNothing(answer))).toEqual([]);
}

/** Not even the signature is right: everything is 401. */
async function expectUnauthorized(token: string): Promise<void> {
  const answers = await tryAll(token);
  expect(answers.filter(({ status }) => status !== 401)).toEqual([]);
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The parts of a token. */
function parts(token: string): [header: string, payload: string, signature: string] {
  const [header = "", payload = "", signature = ""] = token.split(".");
  return [header, payload, signature];
}

const claimsOf = ({ token }: Person): JWTPayload => decodeJwt(token);
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;
const ownerClaims = (): JWTPayload => ({ ...claimsOf(owner), exp: inAnHour() });

test.each<[string, () => string | Promise<string>]>([
  ["its owner's token", () => owner.token],
  ["a token with the claims of its owner's", () => signToken(ownerClaims())],
  ["a token for its API key", () => signToken(apiKeyClaims(keys.live))],
])("%s gets everything", async (_, token) => {
  const before = await state();
  for (const [name, attempt] of ATTEMPTS) {
    const { status, data } = await send(await token(), attempt());
    expect(status, `${name}: ${JSON.stringify(data)}`).toBe(200);
    if (Array.isArray(data)) expect(data.length, name).toBeGreaterThan(0);
  }
  expect(await state()).not.toEqual(before);
  await sql`update public.tenants set name = ${acme.name} where id = ${acme.id}`;
});

describe("not signed by the project", () => {
  const hs256 = { alg: "HS256", typ: "JWT" };
  const forgeries: Record<string, () => string | Promise<string>> = {
    "the stranger's token with its owner as the subject": () => {
      const [header, , signature] = parts(stranger.token);
      return `${header}.${encode({ ...claimsOf(stranger), sub: owner.id })}.${signature}`;
    },
    "the stranger's token as the service role": () => {
      const [header, , signature] = parts(stranger.token);
      return `${header}.${encode({ ...claimsOf(stranger), role: "service_role" })}.${signature}`;
    },
    "its owner's claims under the stranger's signature": () => {
      const [header, payload] = parts(owner.token);
      return `${header}.${payload}.${parts(stranger.token)[2]}`;
    },
    "a signature with another first letter": () => {
      const [header, payload, signature] = parts(owner.token);
      return `${header}.${payload}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    },
    "no signature": () => `${parts(owner.token).slice(0, 2).join(".")}.`,
    "no third part": () => parts(owner.token).slice(0, 2).join("."),
    "another secret": () => signToken(ownerClaims(), OTHER_SECRET),
    "the publishable key for a secret": () => signToken(ownerClaims(), publishableKey),
    "no secret": () => signToken(ownerClaims(), "\0".repeat(32)),
    "another secret, as the service role": () => signToken({ role: "service_role" }, OTHER_SECRET),
    "another secret, as its API key": () => signToken(apiKeyClaims(keys.live), OTHER_SECRET),
    "nothing but a word": () => "owner",
    "the id of its owner": () => owner.id,
    "the id of its API key": () => keys.live,
  };
  for (const alg of ["none", "None", "NONE", ""]) {
    const unsigned = (claims: object, signature: string) =>
      `${encode({ ...hs256, alg })}.${encode(claims)}.${signature}`;
    forgeries[`alg "${alg}"`] = () => unsigned(ownerClaims(), "");
    forgeries[`alg "${alg}" and a signature`] = () => unsigned(ownerClaims(), parts(owner.token)[2]);
    forgeries[`alg "${alg}", as the service role`] = () => unsigned({ role: "service_role" }, "");
    forgeries[`alg "${alg}", as its API key`] = () => unsigned(apiKeyClaims(keys.live), "");
  }
  forgeries["no alg"] = () => `${encode({ typ: "JWT" })}.${encode(ownerClaims())}.`;
  forgeries["HS256 announced as RS256"] = () => {
    const [, payload, signature] = parts(owner.token);
    return `${encode({ ...hs256, alg: "RS256" })}.${payload}.${signature}`;
  };

  test.each(Object.entries(forgeries))("%s gets nothing", async (_, forge) => {
    await expectUnauthorized(await forge());
  });
});

describe("signed by the project, but over", () => {
  const ago = (seconds: number) => Math.floor(Date.now() / 1000) - seconds;

  test.each([1, 60, 86_400])("a token that expired %i minutes ago gets nothing", async (minutes) => {
    await expectUnauthorized(await signToken({ ...ownerClaims(), exp: ago(minutes * 60) }));
    await expectUnauthorized(await signToken({ ...apiKeyClaims(keys.live), exp: ago(minutes * 60) }));
    await expectUnauthorized(await signToken({ role: "service_role", exp: ago(minutes * 60) }));
  });

  test("a token that does not hold yet gets nothing", async () => {
    await expectUnauthorized(await signToken({ ...ownerClaims(), nbf: inAnHour() - 600 }));
  });
});

describe("signed by the project, for somebody else", () => {
  const strangers: Record<string, () => JWTPayload> = {
    "a stranger": () => claimsOf(stranger),
    "a user who does not exist": () => ({ role: "authenticated", sub: randomUUID() }),
    "a user without an id": () => ({ role: "authenticated" }),
    anon: () => ({ role: "anon" }),
    "anon with its owner's id": () => ({ role: "anon", sub: owner.id }),
    "anon with its API key": () => ({ ...apiKeyClaims(keys.live), role: "anon" }),
    "a revoked API key": () => apiKeyClaims(keys.revoked),
    "an expired API key": () => apiKeyClaims(keys.expired),
    "an API key of another tenant": () => apiKeyClaims(keys.foreign),
    "an API key that does not exist": () => apiKeyClaims(randomUUID()),
    "its API key by another issuer": () => ({ ...apiKeyClaims(keys.live), iss: `${url}/auth/v1` }),
    "its API key by no issuer": () => ({ role: "authenticated", api_key: keys.live }),
    "a stranger with its API key": () => ({ ...apiKeyClaims(keys.live), sub: stranger.id }),
    "a stranger with its API key and the claims of the service role": () => ({
      ...apiKeyClaims(keys.live),
      ...{ sub: stranger.id, is_admin: true, app_metadata: { role: "service_role" } },
    }),
    "an API key with its owner for metadata": () => ({
      ...apiKeyClaims(keys.foreign),
      user_metadata: { sub: owner.id, tenant_id: acme.id },
    }),
  };

  test.each(Object.entries(strangers))("%s gets nothing", async (_, claims) => {
    await expectNothing(await signToken({ ...claims(), exp: inAnHour() }));
  });

  // Where a claim cannot even be read as an id, the answer may be that error.
  test.each<[string, () => unknown]>([
    ["no UUID", () => "owner"],
    ["empty", () => ""],
    ["SQL", () => `${keys.live}' or true --`],
    ["a list with its own", () => [keys.live]],
    ["an object with its own", () => ({ id: keys.live })],
    ["true", () => true],
    ["null", () => null],
  ])("an API key that is %s gets nothing", async (_, id) => {
    await expectNothing(await signToken({ ...apiKeyClaims(""), api_key: id() }), [400, 401, 403]);
  });

  test.each(["", "owner", "null"])('a user whose id is "%s" gets nothing', async (sub) => {
    await expectNothing(await signToken({ role: "authenticated", sub }), [400, 401, 403]);
  });
});

describe("a user who edits their metadata", () => {
  const claimed = () => ({
    tenant_id: acme.id,
    tenant_ids: [acme.id],
    sub: owner.id,
    role: "owner",
    is_platform_admin: true,
    iss: "meterbase",
    api_key: keys.live,
    app_metadata: { role: "service_role", tenant_id: acme.id },
  });

  test("gets nothing", async () => {
    const member = await signUp();
    const edited = await member.client.auth.updateUser({ data: claimed() });
    expect(edited.error).toBeNull();
    expect(edited.data.user?.user_metadata).toMatchObject({ tenant_id: acme.id, role: "owner" });
    const { data } = await member.client.auth.refreshSession();
    expect(data.session?.access_token).toBeDefined();
    const token = data.session?.access_token ?? "";
    expect(decodeJwt(token)).toMatchObject({ sub: member.id, role: "authenticated" });
    expect(decodeJwt(token)).not.toHaveProperty("api_key");
    await expectNothing(token);
    const [user] = await sql`
      select raw_app_meta_data ->> 'role' as role, role as database_role from auth.users where id = ${member.id}`;
    expect(user).toEqual({ role: null, database_role: "authenticated" });
    expect(await sql`select from public.platform_admins where user_id = ${member.id}`).toHaveLength(0);
  });

  // The local Auth leaves metadata out of its tokens; a project's has it in both of these claims.
  test("gets nothing when the token carries it", async () => {
    const claims = claimsOf(stranger);
    await expectNothing(
      await signToken({ ...claims, user_metadata: claimed(), app_metadata: claimed().app_metadata }),
    );
  });
});
