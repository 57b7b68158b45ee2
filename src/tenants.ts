import { z } from "zod";
import { type Client, call } from "./client.ts";
import { type ListOptions, list } from "./rows.ts";

/**
 * Who is metered and billed. `trial_ends_at` (ISO 8601, in the tenant's time) is null when it is not on trial.
 * `clock_offset`: how far its test clock is ahead, hours, minutes and seconds as in `744:00:00`.
 */
export const Tenant = z.object({
  id: z.string(),
  name: z.string(),
  slug: z.string(),
  plan_id: z.string(),
  status: z.enum(["active", "suspended"]),
  is_test: z.boolean(),
  trial_ends_at: z.string().nullable(),
  clock_offset: z.string(),
  stripe_customer_id: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
});
export type Tenant = z.infer<typeof Tenant>;

export interface CreateTenantOptions {
  /** `free` by default. Users choose among the self-serve plans, `free` and `trial`; platform admins among all. */
  planId?: string;
  /** With a test clock and `sk_test_` keys. Platform admins only. */
  isTest?: boolean;
}

/** Tenants: making them, their plan, their trial and their test clock. Each method answers with the tenant as it is then. */
export class Tenants {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Makes a tenant with the signed-in user as its owner; the service role makes it without one.
   * @throws {InvalidRequestError} `invalid_name`: not of 1 to 100 characters.
   * @throws {NotFoundError} `plan_not_found`.
   * @throws {PermissionError} `permission_denied`, `plan_not_self_serve`, `platform_admin_only`.
   */
  createTenant(name: string, { planId, isTest }: CreateTenantOptions = {}): Promise<Tenant> {
    const args = { name, plan_id: planId, is_test: isTest };
    return call(this.#client, "create_tenant", args, Tenant);
  }

  /** The tenants of which the caller is a member and that are not suspended, oldest first; for platform admins, all. */
  listTenants(options?: ListOptions): Promise<Tenant[]> {
    const tenants = this.#client.from("tenants").select("*").order("created_at").order("id");
    return list(tenants, Tenant, options);
  }

  /**
   * Puts a tenant on a plan, which upgrades a trial; a plan with trial days begins one. Platform admins only.
   * @throws {NotFoundError} `tenant_not_found`, `plan_not_found`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  setTenantPlan(tenantId: string, planId: string): Promise<Tenant> {
    return call(this.#client, "set_tenant_plan", { tenant_id: tenantId, plan_id: planId }, Tenant);
  }

  /**
   * Lets a trial end so many days (1 to 365) later. Platform admins only.
   * @throws {InvalidRequestError} `invalid_days`.
   * @throws {NotFoundError} `tenant_not_found`.
   * @throws {ConflictError} `not_on_trial`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  extendTrial(tenantId: string, days: number): Promise<Tenant> {
    return call(this.#client, "extend_trial", { tenant_id: tenantId, days }, Tenant);
  }

  /**
   * Ends a trial at once and moves its tenant to `free`; the reason (up to 1,000 characters) goes into the audit trail.
   * Needs `billing:write`.
   * @throws {InvalidRequestError} `invalid_reason`.
   * @throws {ConflictError} `not_on_trial`.
   * @throws {PermissionError} `permission_denied`.
   */
  cancelTrial(tenantId: string, reason?: string): Promise<Tenant> {
    return call(this.#client, "cancel_trial", { tenant_id: tenantId, reason }, Tenant);
  }

  /**
   * Sets a tenant's time ahead of the real one by so much in all: an interval, as `31 days` or ISO 8601's `P31D`, up to
   * 400 days and never less than before. Platform admins; in a test tenant whoever has `tenant:write`.
   * @throws {InvalidRequestError} `invalid_clock_offset`; `22007` for what is no interval.
   * @throws {PermissionError} `permission_denied`, `platform_admin_only`.
   */
  setTestClock(tenantId: string, offset: string): Promise<Tenant> {
    return call(this.#client, "set_test_clock", { tenant_id: tenantId, clock_offset: offset }, Tenant);
  }
}
