import { randomUUID } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { createMeterbase, type Meterbase, type MeterbaseError } from "../../src/index.ts";
import { anon, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";

const operator = createMeterbase(service);
const of = ({ client }: Person): Meterbase => createMeterbase(client);

let owner: Person;
let guest: Person;
let stranger: Person;
let tenant: Tenant;

beforeEach(async () => {
  [owner, guest, stranger] = await Promise.all([signUp(), signUp(), signUp()]);
  [tenant] = await Promise.all([createTenant(owner.client), createTenant(stranger.client)]);
});

/** Lets the guest join by an invite. */
async function join(role: "admin" | "editor" | "viewer"): Promise<void> {
  const { token } = await of(owner).team.inviteMember(tenant.id, guest.email, role);
  await of(guest).team.acceptInvite(token);
}

const refusal = (name: string, code: string): Partial<MeterbaseError> => ({ name, code });

test("a tenant is made with its maker as owner, and seen by its members alone", async () => {
  const made = await of(guest).tenants.createTenant("  Ünlü & Co  ", { planId: "trial" });
  expect(made).toMatchObject({ name: "Ünlü & Co", plan_id: "trial", status: "active", is_test: false });
  const second = await of(guest).tenants.createTenant("Second");
  expect(second).toMatchObject({ plan_id: "free", trial_ends_at: null });

  expect(await of(guest).tenants.listTenants()).toEqual([made, second]);
  expect(await of(guest).tenants.listTenants({ limit: 1, offset: 1 })).toEqual([second]);
  expect((await of(stranger).tenants.listTenants()).map(({ id }) => id)).not.toContain(made.id);
  expect(await of(guest).team.listMembers(made.id)).toEqual([
    {
      tenant_id: made.id,
      user_id: guest.id,
      email: guest.email,
      role: "owner",
      is_suspended: false,
      created_at: expect.any(String),
    },
  ]);

  const create = of(guest).tenants.createTenant.bind(of(guest).tenants);
  await expect(create(" ")).rejects.toMatchObject(refusal("InvalidRequestError", "invalid_name"));
  await expect(create("A", { planId: "gold" })).rejects.toMatchObject(
    refusal("NotFoundError", "plan_not_found"),
  );
  await expect(create("A", { planId: "pro" })).rejects.toMatchObject(
    refusal("PermissionError", "plan_not_self_serve"),
  );
  await expect(create("A", { isTest: true })).rejects.toMatchObject(
    refusal("PermissionError", "platform_admin_only"),
  );
  await expect(createMeterbase(anon).tenants.listTenants()).rejects.toMatchObject({
    name: "PermissionError",
  });
});

test("an invited user joins, changes roles, and leaves", async () => {
  const { team } = of(owner);
  const invite = await team.inviteMember(tenant.id, guest.email.toUpperCase(), "editor");
  expect(invite).toMatchObject({ token: expect.stringMatching(/^inv_/), expires_at: expect.any(String) });
  expect(await team.listInvites(tenant.id)).toEqual([
    expect.objectContaining({
      id: invite.invite_id,
      email: guest.email,
      role: "editor",
      status: "pending",
      invited_by: owner.id,
      expires_at: invite.expires_at,
      closed_at: null,
    }),
  ]);
  expect(await of(stranger).team.listInvites(tenant.id)).toEqual([]);
  await expect(of(stranger).team.acceptInvite(invite.token)).rejects.toMatchObject(
    refusal("PermissionError", "invite_for_another"),
  );

  const joined = { tenant_id: tenant.id, user_id: guest.id, role: "editor" };
  expect(await of(guest).team.acceptInvite(invite.token)).toMatchObject(joined);
  expect(await of(guest).team.listMembers(tenant.id)).toMatchObject([
    { user_id: owner.id, role: "owner" },
    { user_id: guest.id, role: "editor", email: guest.email },
  ]);
  await expect(of(guest).team.acceptInvite(invite.token)).rejects.toMatchObject(
    refusal("ConflictError", "invite_closed"),
  );
  await expect(team.inviteMember(tenant.id, guest.email, "viewer")).rejects.toMatchObject(
    refusal("ConflictError", "already_member"),
  );

  await expect(of(guest).team.updateMemberRole(tenant.id, guest.id, "admin")).rejects.toMatchObject(
    refusal("PermissionError", "permission_denied"),
  );
  expect(await team.updateMemberRole(tenant.id, guest.id, "admin")).toMatchObject({ role: "admin" });
  await expect(of(guest).team.updateMemberRole(tenant.id, owner.id, "viewer")).rejects.toMatchObject(
    refusal("PermissionError", "role_above_own"),
  );
  await expect(team.leave(tenant.id)).rejects.toMatchObject(refusal("ConflictError", "last_owner"));
  expect(await of(guest).team.leave(tenant.id)).toBeUndefined();
  await expect(of(guest).team.leave(tenant.id)).rejects.toMatchObject(
    refusal("NotFoundError", "member_not_found"),
  );
  expect(await team.listMembers(tenant.id)).toHaveLength(1);
});

test("an invite is revoked, rejected, and nobody's to see otherwise", async () => {
  const { team } = of(owner);
  const revoked = await team.inviteMember(tenant.id, guest.email, "viewer");
  await expect(of(stranger).team.revokeInvite(revoked.invite_id)).rejects.toMatchObject(
    refusal("NotFoundError", "invite_not_found"),
  );
  expect(await team.revokeInvite(revoked.invite_id)).toBeUndefined();
  await expect(team.revokeInvite(revoked.invite_id)).rejects.toMatchObject(
    refusal("ConflictError", "invite_closed"),
  );
  await expect(of(guest).team.acceptInvite(revoked.token)).rejects.toMatchObject({ code: "invite_closed" });

  const elsewhere = await createTenant(owner.client);
  await team.inviteMember(elsewhere.id, guest.email, "viewer");
  const rejected = await team.inviteMember(tenant.id, guest.email, "viewer");
  expect(await of(guest).team.rejectInvite(rejected.token)).toBeUndefined();
  const invites = await team.listInvites(tenant.id);
  expect(invites.map(({ id, status }) => [id, status])).toEqual([
    [rejected.invite_id, "rejected"],
    [revoked.invite_id, "revoked"],
  ]);
  expect(await team.listInvites(tenant.id, { limit: 1 })).toEqual(invites.slice(0, 1));
  await expect(of(guest).team.rejectInvite("inv_none")).rejects.toMatchObject({ code: "invite_not_found" });
  await expect(team.inviteMember(tenant.id, "nobody", "viewer")).rejects.toMatchObject(
    refusal("InvalidRequestError", "invalid_email"),
  );
});

test("ownership passes on, and the new owner removes the old one", async () => {
  await join("viewer");
  await expect(of(guest).team.transferOwnership(tenant.id, guest.id)).rejects.toMatchObject({ status: 403 });
  const passed = await of(owner).team.transferOwnership(tenant.id, guest.id);
  expect(passed).toMatchObject({ user_id: guest.id, role: "owner" });
  expect(await of(guest).team.listMembers(tenant.id)).toMatchObject([
    { user_id: guest.id, role: "owner" },
    { user_id: owner.id, role: "admin" },
  ]);
  await expect(of(owner).team.removeMember(tenant.id, guest.id)).rejects.toMatchObject({
    code: "role_above_own",
  });
  expect(await of(guest).team.removeMember(tenant.id, owner.id)).toBeUndefined();
  await expect(of(owner).team.listMembers(tenant.id)).rejects.toMatchObject(
    refusal("PermissionError", "permission_denied"),
  );
});

test("a suspended user may nothing until they are reactivated", async () => {
  await expect(of(owner).team.suspendUser(guest.id, "spam")).rejects.toMatchObject(
    refusal("PermissionError", "platform_admin_only"),
  );
  expect(await operator.team.suspendUser(owner.id, "spam")).toMatchObject({
    user_id: owner.id,
    reason: "spam",
  });
  await expect(of(owner).team.listMembers(tenant.id)).rejects.toMatchObject({ code: "permission_denied" });
  expect(await operator.team.listMembers(tenant.id)).toMatchObject([{ is_suspended: true }]);
  expect(await operator.team.reactivateUser(owner.id)).toBeUndefined();
  expect(await of(owner).team.listMembers(tenant.id)).toMatchObject([{ is_suspended: false }]);
  await expect(operator.team.reactivateUser(owner.id)).rejects.toMatchObject({ code: "user_not_suspended" });
  await expect(operator.team.suspendUser(randomUUID(), "spam")).rejects.toMatchObject({
    code: "user_not_found",
  });
});

test("the activity feed tells of members, invites and keys alone, page by page", async () => {
  await join("viewer");
  await of(owner).apiKeys.createApiKey(tenant.id, { name: "CI", role: "viewer" });
  await of(owner).audit.kb.deleted(tenant.id, "kb");
  const feed = await of(owner).team.getActivity(tenant.id);
  expect(feed.map(({ event_type }) => event_type).sort()).toEqual([
    "api_key_created",
    "membership_created",
    "membership_created",
    "tenant_invite_created",
    "tenant_invite_updated",
  ]);
  expect(feed[0]).toMatchObject({ event_type: "api_key_created", actor_id: owner.id, source: "database" });
  expect(feed.at(-1)).toMatchObject({ event_type: "membership_created", entity_id: owner.id });

  const paged = [];
  for (let before = feed.at(0); before; before = paged.at(-1)) {
    const page = await of(owner).team.getActivity(tenant.id, { limit: 2, before });
    if (page.length === 0) break;
    paged.push(...page);
  }
  expect([feed[0], ...paged]).toEqual(feed);
  for (const other of [guest, stranger]) {
    await expect(of(other).team.getActivity(tenant.id)).rejects.toMatchObject({ code: "permission_denied" });
  }
});

test("an API key shows its secret once, is listed without it, and is revoked for good", async () => {
  const { apiKeys } = of(owner);
  const expiresAt = new Date(Date.now() + 86_400_000);
  const created = await apiKeys.createApiKey(tenant.id, { name: " CI ", role: "editor", expiresAt });
  expect(created.secret).toMatch(/^sk_live_[0-9A-Za-z]{36}$/);
  const second = await apiKeys.createApiKey(tenant.id, { name: "Cron", role: "viewer" });
  const elsewhere = await createTenant(owner.client);
  await apiKeys.createApiKey(elsewhere.id, { name: "Other", role: "viewer" });
  const keys = await apiKeys.listApiKeys(tenant.id);
  expect(await apiKeys.listApiKeys(tenant.id, { limit: 1, offset: 1 })).toEqual(keys.slice(1));
  expect(keys).toMatchObject([
    { id: created.id, name: "CI", role: "editor", prefix: created.secret.slice(0, 12), revoked_at: null },
    { id: second.id, name: "Cron", role: "viewer", expires_at: null, request_count: 0 },
  ]);
  expect(new Date(keys[0]?.expires_at ?? "")).toEqual(expiresAt);
  expect(JSON.stringify(keys)).not.toContain(created.secret);
  expect(await of(stranger).apiKeys.listApiKeys(tenant.id)).toEqual([]);

  await expect(of(stranger).apiKeys.revokeApiKey(created.id)).rejects.toMatchObject(
    refusal("NotFoundError", "api_key_not_found"),
  );
  expect(await apiKeys.revokeApiKey(created.id)).toBeUndefined();
  const revoked_at = (await apiKeys.listApiKeys(tenant.id))[0]?.revoked_at;
  expect(revoked_at).toEqual(expect.any(String));
  await apiKeys.revokeApiKey(created.id);
  expect(await apiKeys.listApiKeys(tenant.id)).toMatchObject([{ revoked_at }, { revoked_at: null }]);
});

test("a key has no role above its maker's, and does not begin expired", async () => {
  await join("admin");
  const create = (key: { role: "owner" | "admin"; expiresAt?: string }) =>
    of(guest).apiKeys.createApiKey(tenant.id, { name: "CI", ...key });
  await expect(create({ role: "owner" })).rejects.toMatchObject(refusal("PermissionError", "role_above_own"));
  await expect(create({ role: "admin", expiresAt: "2020-01-01T00:00:00Z" })).rejects.toMatchObject(
    refusal("InvalidRequestError", "invalid_expiry"),
  );
  expect(await create({ role: "admin" })).toMatchObject({ secret: expect.any(String) });
  await expect(
    of(stranger).apiKeys.createApiKey(tenant.id, { name: "CI", role: "viewer" }),
  ).rejects.toMatchObject({ code: "permission_denied" });
});

test("a trial is extended, upgraded, and cancelled", async () => {
  const endOf = ({ trial_ends_at }: { trial_ends_at: string | null }) => Date.parse(trial_ends_at ?? "");
  const extended = await operator.tenants.extendTrial(tenant.id, 3);
  expect(endOf(extended) - endOf(tenant)).toBe(3 * 86_400_000);
  await expect(of(owner).tenants.extendTrial(tenant.id, 3)).rejects.toMatchObject({
    code: "platform_admin_only",
  });
  await expect(operator.tenants.extendTrial(tenant.id, 0)).rejects.toMatchObject({ code: "invalid_days" });

  const other = await createTenant(owner.client);
  const upgraded = await operator.tenants.setTenantPlan(tenant.id, "pro");
  expect(upgraded).toMatchObject({ id: tenant.id, plan_id: "pro", trial_ends_at: null });
  await expect(of(owner).tenants.cancelTrial(tenant.id)).rejects.toMatchObject(
    refusal("ConflictError", "not_on_trial"),
  );
  await expect(of(stranger).tenants.cancelTrial(other.id)).rejects.toMatchObject({
    code: "permission_denied",
  });
  const cancelled = await of(owner).tenants.cancelTrial(other.id, "too dear");
  expect(cancelled).toMatchObject({ plan_id: "free", trial_ends_at: null });
  const [event] = await of(owner).audit.getAuditEvents(other.id, { action: "trial_cancelled" });
  expect(event).toMatchObject({ metadata: { reason: "too dear" } });
});

test("a test clock goes ahead and never back", async () => {
  const lab = await operator.tenants.createTenant("Lab", { planId: "pro", isTest: true });
  expect(lab).toMatchObject({ is_test: true, plan_id: "pro" });
  const { secret } = await operator.apiKeys.createApiKey(lab.id, { name: "CI", role: "owner" });
  expect(secret).toMatch(/^sk_test_/);
  expect(await operator.tenants.setTestClock(lab.id, "P31D")).toMatchObject({ clock_offset: "744:00:00" });
  await expect(operator.tenants.setTestClock(lab.id, "30 days")).rejects.toMatchObject(
    refusal("InvalidRequestError", "invalid_clock_offset"),
  );
  await expect(operator.tenants.setTestClock(lab.id, "soon")).rejects.toMatchObject(
    refusal("InvalidRequestError", "22007"),
  );
  await expect(of(owner).tenants.setTestClock(tenant.id, "1 day")).rejects.toMatchObject({
    code: "platform_admin_only",
  });
});
