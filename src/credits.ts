import { z } from "zod";
import { type Client, call, callOne } from "./client.ts";
import { list } from "./rows.ts";
import { iso, type Time } from "./time.ts";

/**
 * A movement of credits. `amount` is above 0 in a `grant` and below in all others; `balance` is what there was after it.
 * `grants`: how much of the amount is of which grant. `reason` is what the caller gave, the Stripe subscription, or
 * `expired`. `effective_at` (ISO 8601, in the tenant's time) is never before that of an earlier entry; `expires_at`, of a
 * grant alone, is null or `infinity` when it never does.
 */
export const CreditEntry = z.object({
  id: z.int(),
  tenant_id: z.string(),
  kind: z.enum(["grant", "debit", "expiry", "correction"]),
  amount: z.int(),
  balance: z.int(),
  grants: z.record(z.string(), z.int()),
  reason: z.string(),
  idempotency_key: z.string().nullable(),
  effective_at: z.string(),
  expires_at: z.string().nullable(),
  created_at: z.string(),
});
export type CreditEntry = z.infer<typeof CreditEntry>;

/**
 * The answer to a debit: `balance` is what is left. Where that is too little nothing is taken: `reason`
 * `insufficient_credits`, and no `entry_id`.
 */
export const CreditDebit = z.object({
  allowed: z.boolean(),
  amount: z.int(),
  balance: z.int(),
  reason: z.string().nullable(),
  entry_id: z.int().nullable(),
});
export type CreditDebit = z.infer<typeof CreditDebit>;

export interface DebitOptions {
  /** The same debit with the same key takes once, and answers with the balance that it left. */
  idempotencyKey?: string;
}

export interface GrantOptions {
  /** In the tenant's time; never when absent. */
  expiresAt?: Time;
  /** The same grant with the same key grants once, and answers with the same entry. */
  idempotencyKey?: string;
}

export interface LedgerQuery {
  /** 1 to 1,000; 50 by default. */
  limit?: number;
  /** Goes on after the last entry of the page before. */
  before?: Pick<CreditEntry, "id" | "effective_at">;
}

/**
 * Credits: what paid invoices grant each month, and what is debited of it. Amounts are whole credits.
 * @example
 * const debit = await mb.credits.debit(tenantId, 20, "audit of example.com", { idempotencyKey: auditId });
 * if (!debit.allowed) return outOfCredits(debit.balance);
 */
export class Credits {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * The credits that a tenant has; had at an earlier time, or will have left at a later one if nothing else happens. Needs
   * `usage:read`.
   * @throws {PermissionError} `permission_denied`.
   */
  balance(tenantId: string, at?: Time): Promise<number> {
    const args = { tenant_id: tenantId, at: at && iso(at) };
    return call(this.#client, "get_credit_balance", args, z.int(), { get: true });
  }

  /**
   * Takes an amount, 1 to 2^53-1, of the credits that expire first; all of it or, where there are too few, nothing. A
   * denial is an answer, not an error. The reason has 1 to 200 characters. Needs `usage:write`.
   * @throws {InvalidRequestError} `invalid_amount`, `invalid_reason`, `invalid_idempotency_key`.
   * @throws {PermissionError} `permission_denied`.
   * @throws {ConflictError} `idempotency_key_reused`: the key was used for another amount or reason.
   */
  debit(
    tenantId: string,
    amount: number,
    reason: string,
    { idempotencyKey }: DebitOptions = {},
  ): Promise<CreditDebit> {
    const args = { tenant_id: tenantId, amount, reason, idempotency_key: idempotencyKey };
    return callOne(this.#client, "debit_credits", args, CreditDebit);
  }

  /** A tenant's entries, newest first, a page at a time; none without `usage:read`. */
  ledger(tenantId: string, { limit = 50, before }: LedgerQuery = {}): Promise<CreditEntry[]> {
    const entries = this.#client.from("credit_ledger").select("*").eq("tenant_id", tenantId);
    // Entries never get in between older ones: the earlier ones have both, a lower id and no later time.
    const page = before ? entries.lte("effective_at", before.effective_at).lt("id", before.id) : entries;
    const newestFirst = { ascending: false };
    return list(page.order("effective_at", newestFirst).order("id", newestFirst), CreditEntry, { limit });
  }

  /**
   * Gives a tenant credits by hand, with what `debit` says of amount and reason. Platform admins only.
   * @throws {InvalidRequestError} `invalid_amount`, `invalid_reason`, `invalid_idempotency_key`; `invalid_expires_at`: they
   *   would have expired already.
   * @throws {NotFoundError} `tenant_not_found`.
   * @throws {ConflictError} `idempotency_key_reused`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  grant(
    tenantId: string,
    amount: number,
    reason: string,
    { expiresAt, idempotencyKey }: GrantOptions = {},
  ): Promise<CreditEntry> {
    const args = {
      tenant_id: tenantId,
      amount,
      reason,
      expires_at: expiresAt && iso(expiresAt),
      idempotency_key: idempotencyKey,
    };
    return call(this.#client, "grant_credits", args, CreditEntry);
  }
}
