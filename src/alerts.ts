import { z } from "zod";
import {
  Alert,
  AlertChannel,
  type AlertChannelChanges,
  AlertNotification,
  AlertRule,
  type AlertRuleChanges,
  AlertRuleType,
  type AlertSeverity,
  type AlertStatus,
  type NewAlertChannel,
  type NewAlertRule,
} from "./alert_rows.ts";
import { after, ofTenant, only } from "./alert_table.ts";
import { type Client, call, callOne } from "./client.ts";
import type { Database } from "./database.types.ts";
import { type ListOptions, list } from "./rows.ts";
import { iso, type Time } from "./time.ts";

export interface AlertFilter {
  status?: AlertStatus | AlertStatus[];
  severity?: AlertSeverity | AlertSeverity[];
  /** Gives the question up. */
  signal?: AbortSignal;
}

export interface AlertQuery extends AlertFilter {
  /** 1 to 1,000; 50 by default. */
  limit?: number;
  /** Goes on after the last alert of the page before. */
  before?: Pick<Alert, "id" | "opened_at">;
}

export interface NotificationQuery {
  status?: AlertNotification["status"];
  alertId?: string;
  /** 1 to 1,000; 50 by default. */
  limit?: number;
  /** Goes on after the last notification of the page before. */
  before?: Pick<AlertNotification, "id" | "created_at">;
}

/** What an evaluation of all rules did: how many alerts it opened, and how many it resolved. */
export const AlertEvaluation = z.object({ opened: z.int(), resolved: z.int() });
export type AlertEvaluation = z.infer<typeof AlertEvaluation>;

type ChannelRow = Database["public"]["Tables"]["alert_channels"]["Insert"];

/** The answer of what changes one thing: whether it did, or it was so already. */
const HasChanged = z.int().transform((count) => count > 0);
const newestFirst = { ascending: false };
const Id = z.object({ id: z.string() });
const isEmpty = (changes: object) => Object.values(changes).every((value) => value === undefined);
const MAX_ROWS = 1_000;
/** All but the payload, which members do not read. */
const NOTIFICATION = Object.keys(AlertNotification.shape).join();

/**
 * Alerts: the rules that find them, the channels that tell of them, and what becomes of both. Reading needs `alerts:read` in
 * the tenant, everything else `alerts:write`. What has no tenant (null) is the operator's: platform admins only.
 * @example
 * await mb.alerts.createChannel(tenantId, { type: "email", name: "Us", config: { recipients: ["us@example.com"] } });
 * await mb.alerts.createRule(tenantId, { type: "usage_threshold", name: "Tokens", metric: "tokens" });
 */
export class Alerts {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** What rules there can be, with the defaults of each. */
  ruleTypes(): Promise<AlertRuleType[]> {
    return list(this.#client.from("alert_rule_types").select("*").order("type"), AlertRuleType);
  }

  /** A tenant's rules, oldest first; none where the caller may read none. */
  listRules(tenantId: string | null, options?: ListOptions): Promise<AlertRule[]> {
    const rules = ofTenant(this.#client.from("alert_rules").select("*"), tenantId);
    return list(rules.order("created_at").order("id"), AlertRule, options);
  }

  /**
   * Adds a rule; a tenant has as many of a type as it likes.
   * @throws {InvalidRequestError} `invalid_alert_rule`: the type is for the operator alone, or a channel is not the tenant's;
   *   `23514`: a field is out of range, and the message names the constraint.
   * @throws {ConflictError} `23503`: there is no such metric, or with the service role no such tenant.
   * @throws {PermissionError} `42501`.
   */
  createRule(tenantId: string | null, rule: NewAlertRule): Promise<AlertRule> {
    const row = { ...rule, tenant_id: tenantId };
    return only(this.#client.from("alert_rules").insert(row).select(), AlertRule, "alert_rule_not_found");
  }

  /**
   * Changes what is named of a rule; null makes it its type's default again. Throws as `createRule`, and
   * @throws {NotFoundError} `alert_rule_not_found`: there is none, or it is not the caller's to change.
   */
  updateRule(id: string, changes: AlertRuleChanges): Promise<AlertRule> {
    const rules = this.#client.from("alert_rules");
    const changed = isEmpty(changes) ? rules.select() : rules.update(changes).select();
    return only(changed.eq("id", id), AlertRule, "alert_rule_not_found");
  }

  /**
   * Takes a rule away.
   * @throws {NotFoundError} `alert_rule_not_found`: there is none, or it is not the caller's to take.
   */
  async deleteRule(id: string): Promise<void> {
    await only(
      this.#client.from("alert_rules").delete().eq("id", id).select("id"),
      Id,
      "alert_rule_not_found",
    );
  }

  /** A tenant's channels, oldest first, with masks for their secrets; none where the caller may read none. */
  listChannels(tenantId: string | null, options?: ListOptions): Promise<AlertChannel[]> {
    const channels = ofTenant(this.#client.from("alert_channels").select("*"), tenantId);
    return list(channels.order("created_at").order("id"), AlertChannel, options);
  }

  /**
   * Adds a channel. Of a webhook the database makes the signing secret, which `rotateChannelSecret` shows.
   * @throws {InvalidRequestError} `invalid_alert_channel`: the config is none of its type; `23514`: the name is empty or longer
   *   than 100 characters.
   * @throws {PermissionError} `42501`.
   */
  createChannel(tenantId: string | null, channel: NewAlertChannel): Promise<AlertChannel> {
    const row: ChannelRow = { config: {}, ...channel, tenant_id: tenantId };
    const channels = this.#client.from("alert_channels").insert(row).select();
    return only(channels, AlertChannel, "alert_channel_not_found");
  }

  /**
   * Changes what is named of a channel; what waits for one that is disabled does not leave any more. Throws as
   * `createChannel`, and
   * @throws {NotFoundError} `alert_channel_not_found`: there is none, or it is not the caller's to change.
   */
  updateChannel(id: string, changes: AlertChannelChanges): Promise<AlertChannel> {
    const channels = this.#client.from("alert_channels");
    const changed = isEmpty(changes) ? channels.select() : channels.update(changes).select();
    return only(changed.eq("id", id), AlertChannel, "alert_channel_not_found");
  }

  /**
   * Takes a channel away, with its secrets and what it has not been told yet; a rule for it alone is disabled.
   * @throws {NotFoundError} `alert_channel_not_found`: there is none, or it is not the caller's to take.
   */
  async deleteChannel(id: string): Promise<void> {
    const deleted = this.#client.from("alert_channels").delete().eq("id", id).select("id");
    await only(deleted, Id, "alert_channel_not_found");
  }

  /**
   * Sends a test alert to a channel, as any other by way of the outbox, and gives the notifications' ids: of an e-mail channel
   * one for each recipient.
   * @throws {NotFoundError} `alert_channel_not_found`.
   * @throws {ConflictError} `channel_disabled`.
   * @throws {MeterbaseError} 429 `too_many_tests`: 60 an hour.
   */
  testChannel(id: string): Promise<string[]> {
    return call(this.#client, "test_alert_channel", { channel_id: id }, z.string().array());
  }

  /**
   * Gives a webhook another signing secret (`whsec_…`, of Standard Webhooks), shown here alone. Messages are signed with the
   * one before as well for 24 hours.
   * @throws {NotFoundError} `alert_channel_not_found`.
   * @throws {ConflictError} `channel_has_no_secret`: it is no webhook.
   */
  rotateChannelSecret(id: string): Promise<string> {
    return call(this.#client, "rotate_channel_secret", { id }, z.string());
  }

  /**
   * A tenant's alerts, newest first, a page at a time; null: the operator's own; without a tenant, all that the caller may
   * read.
   */
  list(
    tenantId?: string | null,
    { status, severity, signal, limit = 50, before }: AlertQuery = {},
  ): Promise<Alert[]> {
    let alerts = ofTenant(this.#client.from("alerts").select("*"), tenantId);
    if (status !== undefined) alerts = alerts.in("status", [status].flat());
    if (severity !== undefined) alerts = alerts.in("severity", [severity].flat());
    if (before) alerts = after(alerts, "opened_at", before.opened_at, before.id);
    const page = alerts.order("opened_at", newestFirst).order("id", newestFirst);
    return list(signal ? page.abortSignal(signal) : page, Alert, { limit });
  }

  /** All alerts that a filter finds, newest first, asked for in pages as they are needed. */
  async *iterate(
    tenantId?: string | null,
    filter: AlertFilter = {},
    pageSize = MAX_ROWS,
  ): AsyncGenerator<Alert, void> {
    let before: Alert | undefined;
    for (;;) {
      const query = { ...filter, limit: pageSize, ...(before && { before }) };
      const page: Alert[] = await this.list(tenantId, query);
      yield* page;
      before = page.at(-1);
      if (page.length < pageSize) return;
    }
  }

  /** @throws {NotFoundError} `alert_not_found`. */
  get(id: string): Promise<Alert> {
    return only(this.#client.from("alerts").select("*").eq("id", id), Alert, "alert_not_found");
  }

  /**
   * Says that somebody has seen an alert; false when somebody had, or it is resolved.
   * @throws {NotFoundError} `alert_not_found`.
   * @throws {PermissionError} `permission_denied`.
   */
  acknowledge(id: string): Promise<boolean> {
    return call(this.#client, "acknowledge_alert", { id }, HasChanged);
  }

  /**
   * Ends an alert, and says how (up to 2,000 characters); false when it had ended. It does not open again before its
   * condition was over.
   * @throws {InvalidRequestError} `invalid_note`.
   * @throws {NotFoundError} `alert_not_found`.
   * @throws {PermissionError} `permission_denied`.
   */
  resolve(id: string, note?: string): Promise<boolean> {
    return call(this.#client, "resolve_alert", { id, note }, HasChanged);
  }

  /**
   * Resolves what has not occurred for longer than an interval, 7 days by default, and says how many. Platform admins only.
   * @throws {InvalidRequestError} `invalid_max_age`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  autoResolveStale(maxAge?: string): Promise<number> {
    return call(this.#client, "auto_resolve_stale_alerts", { max_age: maxAge }, z.int());
  }

  /** Evaluates all rules, as the schedule does each minute. With the service role alone. */
  evaluate(at?: Time): Promise<AlertEvaluation> {
    return callOne(this.#client, "evaluate_alert_rules", { at: at && iso(at) }, AlertEvaluation);
  }

  /** What was sent of a tenant's alerts or is to be, newest first, a page at a time; null: of the operator's. */
  listNotifications(
    tenantId: string | null,
    { status, alertId, limit = 50, before }: NotificationQuery = {},
  ): Promise<AlertNotification[]> {
    const all = this.#client.from("alert_notifications").select(NOTIFICATION).eq("kind", "alert");
    let notifications = ofTenant(all, tenantId);
    if (status !== undefined) notifications = notifications.eq("status", status);
    if (alertId !== undefined) notifications = notifications.eq("alert_id", alertId);
    if (before) notifications = after(notifications, "created_at", before.created_at, before.id);
    const page = notifications.order("created_at", newestFirst).order("id", newestFirst);
    return list(page, AlertNotification, { limit });
  }

  /**
   * Lets a dead notification be tried again, as if it were new; false when it is not dead.
   * @throws {NotFoundError} `notification_not_found`.
   * @throws {PermissionError} `permission_denied`.
   */
  replayNotification(id: string): Promise<boolean> {
    return call(this.#client, "replay_alert_notification", { id }, HasChanged);
  }
}
