import { z } from "zod";
import { one } from "../_shared/database.ts";
import { ApiError } from "../_shared/http.ts";
import type { TenantRequest } from "./routes.ts";

const Account = z.object({
  tenant_id: z.string(),
  stripe_customer_id: z.string().nullable(),
  stripe_subscription_id: z.string().nullable(),
  price_id: z.string().nullable(),
  cancel_at_period_end: z.boolean(),
});
export type Account = z.infer<typeof Account>;

/** A tenant's Stripe customer, and the subscription that is not over yet. */
export async function readAccount({ caller, tenantId }: TenantRequest): Promise<Account> {
  return one(Account, await caller.rpc("get_billing_account", { tenant_id: tenantId }));
}

export async function requireSubscription(request: TenantRequest): Promise<string> {
  const { stripe_subscription_id } = await readAccount(request);
  if (stripe_subscription_id !== null) return stripe_subscription_id;
  throw new ApiError(409, "no_subscription", "The tenant has no subscription that could be changed.");
}
