import type { Client } from "./client.ts";
import { Quota, type QuotaOptions } from "./quota.ts";
import { Usage } from "./usage.ts";
import type { UsageBufferOptions } from "./usage_buffer.ts";

/** Meterbase over a supabase-js client: what its methods may do is what the client's session may. */
export interface Meterbase {
  readonly usage: Usage;
  readonly quota: Quota;
}

export interface MeterbaseOptions {
  /** How tracked usage is batched, and kept while the database is out of reach. */
  usage?: UsageBufferOptions;
  /** How takes of quota are sent, and what happens while the database is out of reach. */
  quota?: QuotaOptions;
}

/**
 * @example
 * const mb = createMeterbase(createClient<Database>(url, publishableKey));
 * const decision = await mb.quota.consumeQuota(tenantId, "tokens", { amount: 150 });
 * if (!decision.allowed) return tooManyRequests(decision.resets_at);
 */
export function createMeterbase(client: Client, options: MeterbaseOptions = {}): Meterbase {
  return { usage: new Usage(client, options.usage), quota: new Quota(client, options.quota) };
}

export type { Client } from "./client.ts";
export type { Database } from "./database.types.ts";
export type { DeliveryOptions, Journal, Pending } from "./delivery_buffer.ts";
export * from "./errors.ts";
export * from "./quota.ts";
export type {
  EnforcementOptions,
  FailureMode,
  MultipleQuotaResult,
  OfflineTake,
} from "./quota_enforcement.ts";
export * from "./tokens.ts";
export * from "./usage.ts";
export * from "./usage_buffer.ts";
export * from "./usage_tracker.ts";
