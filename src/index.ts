import { Alerts } from "./alerts.ts";
import { ApiKeys } from "./api_keys.ts";
import { Audit, type AuditOptions } from "./audit.ts";
import { Billing } from "./billing.ts";
import type { Client } from "./client.ts";
import { Credits } from "./credits.ts";
import { Health } from "./health.ts";
import { Quota, type QuotaOptions } from "./quota.ts";
import { Team } from "./team.ts";
import { Tenants } from "./tenants.ts";
import { Usage } from "./usage.ts";
import type { UsageBufferOptions } from "./usage_buffer.ts";

/** Meterbase over a supabase-js client: what its methods may do is what the client's session may. */
export interface Meterbase {
  readonly usage: Usage;
  readonly quota: Quota;
  readonly tenants: Tenants;
  readonly team: Team;
  readonly apiKeys: ApiKeys;
  readonly billing: Billing;
  readonly credits: Credits;
  readonly audit: Audit;
  readonly alerts: Alerts;
  readonly health: Health;
}

export interface MeterbaseOptions {
  /** How tracked usage is batched, and kept while the database is out of reach. */
  usage?: UsageBufferOptions;
  /** How takes of quota are sent, and what happens while the database is out of reach. */
  quota?: QuotaOptions;
  /** What time it is for queries of the last so many days. */
  audit?: AuditOptions;
}

/**
 * @example
 * const mb = createMeterbase(createClient<Database>(url, publishableKey));
 * const decision = await mb.quota.consumeQuota(tenantId, "tokens", { amount: 150 });
 * if (!decision.allowed) return tooManyRequests(decision.resets_at);
 */
export function createMeterbase(client: Client, options: MeterbaseOptions = {}): Meterbase {
  const audit = new Audit(client, options.audit);
  return {
    usage: new Usage(client, options.usage),
    quota: new Quota(client, options.quota),
    tenants: new Tenants(client),
    team: new Team(client, audit),
    apiKeys: new ApiKeys(client),
    billing: new Billing(client),
    credits: new Credits(client),
    audit,
    alerts: new Alerts(client),
    health: new Health(client),
  };
}

export * from "./alert_manager.ts";
export * from "./alert_rows.ts";
export type { AlertManagerChannels, EmailOptions } from "./alert_senders.ts";
export * from "./alerts.ts";
export * from "./api_keys.ts";
export * from "./audit.ts";
export * from "./audit_builders.ts";
export {
  AuditActor,
  type AuditCursor,
  AuditEvent,
  type AuditFilter,
  type AuditQuery,
  AuditResolution,
  AuditResult,
  AuditSeverity,
  type NewAuditEvent,
} from "./audit_event.ts";
export * from "./audit_report.ts";
export type { AuditBuilders, AuditDetails, AuditSource } from "./audit_table.ts";
export * from "./billing.ts";
export type { Client } from "./client.ts";
export * from "./credits.ts";
export type { Database } from "./database.types.ts";
export type { DeliveryOptions, Journal, Pending } from "./delivery_buffer.ts";
export * from "./errors.ts";
export * from "./health.ts";
export * from "./monitor.ts";
export * from "./quota.ts";
export type {
  EnforcementOptions,
  FailureMode,
  MultipleQuotaResult,
  OfflineTake,
} from "./quota_enforcement.ts";
export type { ListOptions } from "./rows.ts";
export * from "./team.ts";
export * from "./tenants.ts";
export type { Time } from "./time.ts";
export * from "./tokens.ts";
export * from "./usage.ts";
export * from "./usage_buffer.ts";
export * from "./usage_report.ts";
export * from "./usage_tracker.ts";
