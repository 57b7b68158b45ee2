import { z } from "zod";
import { ChatAudit, ConfigAudit, ErrorAudit, KBAudit, TrialAudit } from "./audit_builders.ts";
import {
  AuditEvent,
  type AuditFilter,
  type AuditQuery,
  AuditResolution,
  type NewAuditEvent,
} from "./audit_event.ts";
import { AuditReport, AuditVerification } from "./audit_report.ts";
import { type Client, call, callOne, callRows } from "./client.ts";
import { iso, type Time } from "./time.ts";

export interface AuditOptions {
  /** What the days of the queries count back from; the real time by default. */
  now?: () => Date;
}

/** What one call gives at most. */
const MAX_ROWS = 1_000;
const DAY_MS = 86_400_000;

/**
 * The audit trail: telling of what the database cannot see, reading, resolving, proving and erasing. Reading needs
 * `audit:read` in the tenant; what belongs to no tenant is for platform admins.
 * @example
 * await mb.audit.kb.uploaded(tenantId, kbId, "handbook.pdf", 48_213);
 * for await (const event of mb.audit.iterateAuditEvents(tenantId, { from: "2027-01-01" })) write(event);
 */
export class Audit {
  readonly trial: TrialAudit;
  readonly kb: KBAudit;
  readonly chat: ChatAudit;
  readonly config: ConfigAudit;
  readonly error: ErrorAudit;
  readonly #client: Client;
  readonly #now: () => Date;

  constructor(client: Client, { now = () => new Date() }: AuditOptions = {}) {
    this.#client = client;
    this.#now = now;
    this.trial = new TrialAudit(this);
    this.kb = new KBAudit(this);
    this.chat = new ChatAudit(this);
    this.config = new ConfigAudit(this);
    this.error = new ErrorAudit(this);
  }

  /**
   * Records what the application saw, and returns the event's id; once for an `event_id`. Needs `usage:write`; for what
   * belongs to no tenant (null), platform admins.
   * @throws {InvalidRequestError} `invalid_event_type`, `reserved_event_type`: only the database tells of it,
   *   `invalid_metadata`, `audit_event_too_large`.
   * @throws {PermissionError} `permission_denied`, `platform_admin_only`; `actor_not_yours`: only the service role names
   *   who acted.
   * @throws {NotFoundError} `tenant_not_found`.
   * @throws {ConflictError} `idempotency_key_reused`: the `event_id` is that of another tenant's event.
   */
  logAuditEvent(tenantId: string | null, event: NewAuditEvent): Promise<string> {
    return call(this.#client, "log_audit_event", { tenant_id: tenantId, ...event }, z.string());
  }

  /**
   * Events, newest first, a page at a time. Without a tenant, those of all and of none: platform admins only.
   * @throws {InvalidRequestError} `invalid_max_rows`.
   * @throws {PermissionError} `permission_denied`, `platform_admin_only`.
   */
  getAuditEvents(tenantId?: string, query: AuditQuery = {}): Promise<AuditEvent[]> {
    const { from, to, limit, before } = query;
    const args = {
      tenant_id: tenantId,
      action: query.action,
      entity_type: query.entityType,
      entity_id: query.entityId,
      actor_type: query.actorType,
      user_id: query.userId,
      severity: query.severity,
      result: query.result,
      category: query.category,
      source: query.source,
      from_ts: from && iso(from),
      to_ts: to && iso(to),
      max_rows: limit,
      before_ts: before?.occurred_at,
      before_id: before?.event_id,
    };
    return callRows(this.#client, "get_audit_events", args, AuditEvent, { get: true });
  }

  /** All events that a filter finds, newest first, asked for in pages as they are needed; throws as `getAuditEvents`. */
  async *iterateAuditEvents(
    tenantId?: string,
    filter: AuditFilter = {},
    pageSize = MAX_ROWS,
  ): AsyncGenerator<AuditEvent, void> {
    let before: AuditEvent | undefined;
    for (;;) {
      const query = { ...filter, limit: pageSize, ...(before && { before }) };
      const page: AuditEvent[] = await this.getAuditEvents(tenantId, query);
      yield* page;
      before = page.at(-1);
      if (page.length < pageSize) return;
    }
  }

  /** What happened in a tenant in the last so many days, newest first: at most `limit` events, 1 to 1,000. */
  getTenantAuditTrail(tenantId: string, days = 30, limit = 100): Promise<AuditEvent[]> {
    return this.getAuditEvents(tenantId, { from: this.#daysAgo(days), limit });
  }

  /** What did not succeed in the last so many days, wholly or in part: the newest 1,000 at most. */
  getFailedOperations(tenantId?: string, days = 7): Promise<AuditEvent[]> {
    return this.getAuditEvents(tenantId, { category: "failed", from: this.#daysAgo(days), limit: MAX_ROWS });
  }

  /**
   * Security violations, changes of who may do what, and what rate limits refused in the last so many days: the newest
   * 1,000 at most.
   */
  getSecurityEvents(tenantId?: string, days = 7): Promise<AuditEvent[]> {
    return this.getAuditEvents(tenantId, {
      category: "security",
      from: this.#daysAgo(days),
      limit: MAX_ROWS,
    });
  }

  /**
   * Marks an event as dealt with, and says how (up to 2,000 characters). The first resolution stands. Needs `audit:read`
   * and `tenant:write`.
   * @throws {InvalidRequestError} `invalid_note`.
   * @throws {NotFoundError} `audit_event_not_found`.
   * @throws {PermissionError} `permission_denied`.
   */
  resolveAuditEvent(eventId: string, note?: string): Promise<AuditResolution> {
    return call(this.#client, "resolve_audit_event", { event_id: eventId, note }, AuditResolution);
  }

  /**
   * A compliance report of [from, to): events by type, action, severity, result, actor and day, failed and security events,
   * changes of access, and whether the chain is intact.
   * @throws {InvalidRequestError} `invalid_range`.
   * @throws {PermissionError} `permission_denied`.
   */
  generateAuditReport(tenantId: string, from: Time, to: Time): Promise<AuditReport> {
    const args = { tenant_id: tenantId, from_ts: iso(from), to_ts: iso(to) };
    return call(this.#client, "generate_audit_report", args, AuditReport, { get: true });
  }

  /**
   * Whether a tenant's events are what was written, all of them, and where not; null: those that belong to no tenant, for
   * platform admins. With an earlier answer as the anchor, also that what was there then still is.
   * @throws {PermissionError} `permission_denied`, `platform_admin_only`.
   */
  verifyAuditChain(
    tenantId: string | null,
    anchor?: Pick<AuditVerification, "head_seq" | "head_hash">,
  ): Promise<AuditVerification> {
    const args = { tenant_id: tenantId, anchor_seq: anchor?.head_seq, anchor_hash: anchor?.head_hash };
    return callOne(this.#client, "verify_audit_chain", args, AuditVerification); // a GET cannot say null
  }

  /**
   * Erases addresses, user agents and e-mail addresses from the events of a user, and says of how many; the chain stays
   * intact. Platform admins only.
   * @throws {InvalidRequestError} `invalid_request`: neither is given.
   * @throws {PermissionError} `platform_admin_only`.
   */
  eraseAuditPersonalData({ userId, email }: { userId?: string; email?: string }): Promise<number> {
    return call(this.#client, "erase_audit_personal_data", { user_id: userId, email }, z.number());
  }

  #daysAgo(days: number): Date {
    return new Date(this.#now().getTime() - days * DAY_MS);
  }
}
