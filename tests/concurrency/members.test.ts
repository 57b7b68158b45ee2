import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const connections = Array.from({ length: 8 }, () =>
  postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} }),
);
const [control, ...workers] = connections as [Sql, ...Sql[]];
afterAll(() => Promise.all(connections.map((sql) => sql.end())));

const rounds = scaled(40, 400);

async function newUser(): Promise<string> {
  const id = randomUUID();
  await control`insert into auth.users (id, email) values (${id}, ${`${id}@example.com`})`;
  return id;
}

async function newTenant(owners: string[]): Promise<string> {
  const [tenant] = await control`select id from public.create_tenant('Race', 'pro')`;
  for (const user of owners) {
    await control`insert into public.memberships (tenant_id, user_id, role) values (${tenant?.id}, ${user}, 'owner')`;
  }
  return tenant?.id as string;
}

/** Runs as a signed-in user, as the data API does. */
function asUser(
  sql: Sql,
  userId: string,
  work: (sql: Sql) => Promise<unknown>,
  isolation = "read committed",
) {
  const claims = JSON.stringify({ sub: userId, role: "authenticated" });
  return sql.begin(`isolation level ${isolation}`, async (transaction) => {
    await transaction`select set_config('request.jwt.claims', ${claims}, true), set_config('role', 'authenticated', true)`;
    return work(transaction as unknown as Sql);
  });
}

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error) => error.hint ?? error.code,
  );

const ways: Record<string, (sql: Sql, tenantId: string, self: string, other: string) => Promise<unknown>> = {
  leave: (sql, tenantId, self) => sql`select public.remove_member(${tenantId}, ${self})`,
  "step down": (sql, tenantId, self) => sql`select public.update_member_role(${tenantId}, ${self}, 'viewer')`,
  "remove each other": (sql, tenantId, _, other) => sql`select public.remove_member(${tenantId}, ${other})`,
  "demote each other": (sql, tenantId, _, other) =>
    sql`select public.update_member_role(${tenantId}, ${other}, 'admin')`,
};

for (const isolation of ["read committed", "repeatable read"]) {
  for (const [way, work] of Object.entries(ways)) {
    test(`two owners who ${way} at once leave one, under ${isolation}`, async () => {
      for (let round = 0; round < rounds / 8; round++) {
        const owners = await Promise.all([newUser(), newUser()]);
        const tenantId = await newTenant(owners);
        const outcomes = await Promise.all(
          owners.map((self, i) =>
            outcomeOf(
              asUser(
                workers[i] as Sql,
                self,
                (sql) => work(sql, tenantId, self, owners[1 - i] as string),
                isolation,
              ),
            ),
          ),
        );
        const [left] = await control`
          select count(*)::int as n from public.memberships where tenant_id = ${tenantId} and role = 'owner'`;
        expect([left?.n, outcomes.filter((outcome) => outcome === "done").length]).toEqual([1, 1]);
      }
    });
  }
}

test("deletions of memberships behind the functions' back leave an owner, too", async () => {
  for (let round = 0; round < rounds; round++) {
    const owners = await Promise.all(Array.from({ length: 4 }, newUser));
    const tenantId = await newTenant(owners);
    const outcomes = await Promise.all(
      owners.map((user, i) =>
        outcomeOf(
          (workers[
            i
          ] as Sql)`delete from public.memberships where tenant_id = ${tenantId} and user_id = ${user}`.then(),
        ),
      ),
    );
    expect(outcomes.sort()).toEqual(["done", "done", "done", "last_owner"]);
  }
});

test("owners who leave, remove and demote each other in every way at once never wait in a circle", async () => {
  const mixed = Object.values(ways);
  for (let round = 0; round < rounds; round++) {
    const owners = await Promise.all(Array.from({ length: 4 }, newUser));
    const tenantId = await newTenant(owners);
    const outcomes = await Promise.all(
      owners.map((self, i) => {
        const work = mixed[(round + i) % mixed.length] as (typeof mixed)[number];
        const other = owners[(i + 1 + (round % 3)) % 4] as string;
        return outcomeOf(asUser(workers[i] as Sql, self, (sql) => work(sql, tenantId, self, other)));
      }),
    );
    const expected = ["done", "last_owner", "member_not_found", "permission_denied", "role_above_own"];
    for (const outcome of outcomes) expect(expected).toContain(outcome);
  }
});

test("who is removed while they wait may not do what they wait for", async () => {
  const calls: ((sql: Sql, tenantId: string, other: string) => Promise<unknown>)[] = [
    (sql, id) => sql`select public.create_api_key(${id}, 'x', 'owner')`,
    (sql, id) => sql`select public.invite_member(${id}, 'evil@example.com', 'owner')`,
    (sql, id, other) => sql`select public.update_member_role(${id}, ${other}, 'owner')`,
    (sql, id, other) => sql`select public.remove_member(${id}, ${other})`,
    (sql, id, other) => sql`select public.transfer_ownership(${id}, ${other})`,
  ];
  for (const call of calls) {
    const [boss, admin, other] = (await Promise.all([newUser(), newUser(), newUser()])) as [
      string,
      string,
      string,
    ];
    const tenantId = await newTenant([boss]);
    await control`
      insert into public.memberships (tenant_id, user_id, role)
      values (${tenantId}, ${admin}, 'admin'), (${tenantId}, ${other}, 'viewer')`;
    const [holder, waiter] = workers as [Sql, Sql];
    const [backend] = await waiter`select pg_backend_pid() as pid`;
    let waiting: Promise<string> | undefined;
    await asUser(holder, boss, async (sql) => {
      await sql`select public.remove_member(${tenantId}, ${admin})`;
      waiting = outcomeOf(asUser(waiter, admin, (sql) => call(sql, tenantId, other)));
      await until(async () => {
        const [state] =
          await control`select wait_event_type from pg_stat_activity where pid = ${backend?.pid}`;
        return state?.wait_event_type === "Lock";
      });
    });
    expect(await waiting).toBe("permission_denied");
  }
});

test("invites at once take the seats that there are, and no more", async () => {
  for (let round = 0; round < rounds / 4; round++) {
    const owner = await newUser();
    const tenantId = await newTenant([owner]);
    await control`select public.set_custom_quota(${tenantId}, 'team_members', 4)`;
    const outcomes = await Promise.all(
      workers.map((sql) =>
        outcomeOf(
          asUser(
            sql,
            owner,
            (sql) =>
              sql`select public.invite_member(${tenantId}, ${`${randomUUID()}@example.com`}, 'viewer')`,
          ),
        ),
      ),
    );
    expect(outcomes.sort()).toEqual([...Array(3).fill("done"), ...Array(4).fill("seat_limit_reached")]);
  }
});

test("accepts at once, with a plan that got smaller, fill its seats and no more", async () => {
  for (let round = 0; round < rounds / 4; round++) {
    const owner = await newUser();
    const tenantId = await newTenant([owner]);
    const guests = await Promise.all(workers.map(newUser));
    const tokens: string[] = [];
    for (const guest of guests) {
      const [invite] = await control`
        select token from public.invite_member(${tenantId}, ${`${guest}@example.com`}, 'viewer')`;
      tokens.push(invite?.token);
    }
    await control`select public.set_custom_quota(${tenantId}, 'team_members', 4)`;
    const outcomes = await Promise.all(
      workers.map((sql, i) =>
        outcomeOf(
          asUser(sql, guests[i] as string, (sql) => sql`select public.accept_invite(${tokens[i] as string})`),
        ),
      ),
    );
    expect(outcomes.sort()).toEqual([...Array(3).fill("done"), ...Array(4).fill("seat_limit_reached")]);
    const [seats] = await control`
      select (select count(*)::int from public.memberships where tenant_id = ${tenantId}) as members,
        (select used::int from private.quota_counters where tenant_id = ${tenantId} and metric = 'team_members' and period = 'none') as used`;
    expect(seats).toEqual({ members: 4, used: 4 });
  }
});

test("a key's uses add up, folded while sessions count", async () => {
  const tenantId = await newTenant([await newUser()]);
  const [key] = await control`select id, secret from public.create_api_key(${tenantId}, 'busy', 'viewer')`;
  const each = scaled(100, 2_000);
  let counting = true;
  const fold = (async () => {
    while (counting) await control`select private.fold_api_key_uses()`;
  })();
  await Promise.all(
    workers.map(async (sql) => {
      for (let i = 0; i < each; i++) {
        await sql`select * from public.authenticate_api_key(encode(sha256(convert_to(${key?.secret}, 'UTF8')), 'hex'))`;
      }
    }),
  );
  counting = false;
  await fold;
  await control`select private.fold_api_key_uses()`;
  const [counted] = await control`select request_count::int as n from public.api_keys where id = ${key?.id}`;
  expect(counted?.n).toBe(workers.length * each);
});
