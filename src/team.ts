import { z } from "zod";
import type { Audit } from "./audit.ts";
import type { AuditCursor, AuditEvent } from "./audit_event.ts";
import { type Client, call, callRows } from "./client.ts";
import { type ListOptions, list, Nothing } from "./rows.ts";

/** From the highest down. Nobody gives, takes or changes a role above their own. */
export const MemberRole = z.enum(["owner", "admin", "editor", "viewer"]);
export type MemberRole = z.infer<typeof MemberRole>;

export const Membership = z.object({
  tenant_id: z.string(),
  user_id: z.string(),
  role: MemberRole,
  created_at: z.string(),
});
export type Membership = z.infer<typeof Membership>;

/** A membership with the user's address (null: signed up without one) and whether they are suspended. */
export const Member = Membership.extend({ email: z.string().nullable(), is_suspended: z.boolean() });
export type Member = z.infer<typeof Member>;

/**
 * Who was asked to join. `expires_at` is in the tenant's time: a pending invite that is past it is over. `invited_by`: the
 * user or API key. `closed_at` is null while it is pending.
 */
export const Invite = z.object({
  id: z.string(),
  tenant_id: z.string(),
  email: z.string(),
  role: MemberRole,
  status: z.enum(["pending", "accepted", "rejected", "revoked"]),
  expires_at: z.string(),
  invited_by: z.string().nullable(),
  created_at: z.string(),
  closed_at: z.string().nullable(),
});
export type Invite = z.infer<typeof Invite>;

/** The token is shown here and in the mail alone; the database keeps its hash. */
export const CreatedInvite = z.object({ invite_id: z.string(), token: z.string(), expires_at: z.string() });
export type CreatedInvite = z.infer<typeof CreatedInvite>;

export const UserSuspension = z.object({
  user_id: z.string(),
  reason: z.string(),
  suspended_by: z.string().nullable(),
  created_at: z.string(),
});
export type UserSuspension = z.infer<typeof UserSuspension>;

export interface ActivityQuery {
  /** 1 to 1,000; 50 by default. */
  limit?: number;
  /** Goes on after the last event of the page before. */
  before?: AuditCursor;
}

/** Who belongs to a tenant, in which role, and who was asked to. A refusal is a `PermissionError`: `permission_denied`. */
export class Team {
  readonly #client: Client;
  readonly #audit: Pick<Audit, "getAuditEvents">;

  constructor(client: Client, audit: Pick<Audit, "getAuditEvents">) {
    this.#client = client;
    this.#audit = audit;
  }

  /** The members of a tenant with their addresses, owners first. Needs `member:read`. */
  listMembers(tenantId: string): Promise<Member[]> {
    return callRows(this.#client, "get_members", { tenant_id: tenantId }, Member, { get: true });
  }

  /**
   * Gives a member another role. Needs `member:invite`.
   * @throws {PermissionError} `role_above_own`: the old or the new role is above the caller's.
   * @throws {NotFoundError} `member_not_found`.
   * @throws {ConflictError} `last_owner`: a tenant keeps an owner.
   */
  updateMemberRole(tenantId: string, userId: string, role: MemberRole): Promise<Membership> {
    const args = { tenant_id: tenantId, user_id: userId, role };
    return call(this.#client, "update_member_role", args, Membership);
  }

  /**
   * Ends a membership. Needs `member:remove`; for one's own, nothing.
   * @throws {PermissionError} `role_above_own`.
   * @throws {NotFoundError} `member_not_found`.
   * @throws {ConflictError} `last_owner`.
   */
  removeMember(tenantId: string, userId: string): Promise<void> {
    return call(this.#client, "remove_member", { tenant_id: tenantId, user_id: userId }, Nothing);
  }

  /**
   * Ends the signed-in user's own membership.
   * @throws {NotFoundError} `member_not_found`.
   * @throws {ConflictError} `last_owner`.
   */
  leave(tenantId: string): Promise<void> {
    return call(this.#client, "leave_tenant", { tenant_id: tenantId }, Nothing);
  }

  /**
   * Makes a member an owner, and the calling owner an admin. Owners only.
   * @throws {PermissionError} `role_above_own`.
   * @throws {NotFoundError} `member_not_found`.
   */
  transferOwnership(tenantId: string, userId: string): Promise<Membership> {
    const args = { tenant_id: tenantId, user_id: userId };
    return call(this.#client, "transfer_ownership", args, Membership);
  }

  /**
   * Invites an address for 7 days, in place of an earlier invite; only a user with that address can accept it, by the
   * token. Needs `member:invite`.
   * @throws {InvalidRequestError} `invalid_email`; 429 `too_many_invites`: 200 a day, 10 to one address.
   * @throws {PermissionError} `role_above_own`; `seat_limit_reached`: members and pending invites fill the plan.
   * @throws {ConflictError} `already_member`.
   */
  inviteMember(tenantId: string, email: string, role: MemberRole): Promise<CreatedInvite> {
    return call(this.#client, "invite_member", { tenant_id: tenantId, email, role }, CreatedInvite);
  }

  /** A tenant's invites, newest first; none without `member:read`. */
  listInvites(tenantId: string, options?: ListOptions): Promise<Invite[]> {
    const invites = this.#client.from("tenant_invites").select("*").eq("tenant_id", tenantId);
    return list(invites.order("created_at", { ascending: false }).order("id"), Invite, options);
  }

  /**
   * Takes a pending invite back. Needs `member:invite`.
   * @throws {PermissionError} `role_above_own`: the invite's role is above the caller's.
   * @throws {NotFoundError} `invite_not_found`.
   * @throws {ConflictError} `invite_closed`: it is not pending any more.
   */
  revokeInvite(inviteId: string): Promise<void> {
    return call(this.#client, "revoke_invite", { id: inviteId }, Nothing);
  }

  /**
   * Joins the tenant that the signed-in user was invited to.
   * @throws {NotFoundError} `invite_not_found`.
   * @throws {PermissionError} `invite_for_another`: it is for another address; `seat_limit_reached`.
   * @throws {ConflictError} `invite_closed`, `invite_expired`, `already_member`.
   */
  acceptInvite(token: string): Promise<Membership> {
    return call(this.#client, "accept_invite", { token }, Membership);
  }

  /** Declines an invite of the signed-in user; throws as `acceptInvite`. */
  rejectInvite(token: string): Promise<void> {
    return call(this.#client, "reject_invite", { token }, Nothing);
  }

  /** What happened to members, invites and API keys, as the database saw it, newest first. Needs `audit:read`. */
  getActivity(tenantId: string, { limit = 50, before }: ActivityQuery = {}): Promise<AuditEvent[]> {
    const query = { category: "activity", source: "database", limit, ...(before && { before }) } as const;
    return this.#audit.getAuditEvents(tenantId, query);
  }

  /**
   * Takes every permission from a user, everywhere, until `reactivateUser`. Platform admins only.
   * @throws {InvalidRequestError} `invalid_reason`: not of 1 to 1,000 characters.
   * @throws {NotFoundError} `user_not_found`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  suspendUser(userId: string, reason: string): Promise<UserSuspension> {
    return call(this.#client, "suspend_user", { user_id: userId, reason }, UserSuspension);
  }

  /**
   * Ends the suspension of a user. Platform admins only.
   * @throws {NotFoundError} `user_not_suspended`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  reactivateUser(userId: string): Promise<void> {
    return call(this.#client, "reactivate_user", { user_id: userId }, Nothing);
  }
}
