import { z } from "zod";
import { type Client, call } from "./client.ts";
import { type ListOptions, list, Nothing } from "./rows.ts";
import { MemberRole } from "./team.ts";
import { iso, type Time } from "./time.ts";

/**
 * What is known of a key, never its secret: `prefix` is the beginning of it, to recognize it by. `expires_at` (null:
 * never) is in the tenant's time. `request_count` and `last_used_at` are up to a minute old. `created_by`: the user who made it,
 * also by way of another key, `parent_id`. While they are suspended it does not work.
 */
export const ApiKey = z.object({
  id: z.string(),
  tenant_id: z.string(),
  name: z.string(),
  prefix: z.string(),
  role: MemberRole,
  expires_at: z.string().nullable(),
  revoked_at: z.string().nullable(),
  last_used_at: z.string().nullable(),
  request_count: z.number(),
  created_by: z.string().nullable(),
  parent_id: z.string().nullable(),
  created_at: z.string(),
});
export type ApiKey = z.infer<typeof ApiKey>;

/** `secret` is `sk_live_…` (`sk_test_…` of a test tenant). It is shown this once: the database keeps only its hash. */
export const CreatedApiKey = z.object({ id: z.string(), secret: z.string() });
export type CreatedApiKey = z.infer<typeof CreatedApiKey>;

export interface NewApiKey {
  /** 1 to 100 characters. */
  name: string;
  /** What it may do; not above the caller's own. */
  role: MemberRole;
  /** In the tenant's time; never when absent. */
  expiresAt?: Time;
}

/** API keys: what a program of a tenant shows instead of a user's session. */
export class ApiKeys {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Makes an API key. Its secret is in this answer and nowhere else: whoever loses it makes another key. Needs
   * `apikey:create`.
   * @throws {InvalidRequestError} `invalid_name`, `invalid_expiry`: it would have expired already.
   * @throws {PermissionError} `permission_denied`, `role_above_own`.
   */
  createApiKey(tenantId: string, { name, role, expiresAt }: NewApiKey): Promise<CreatedApiKey> {
    const expires_at = expiresAt === undefined ? undefined : iso(expiresAt);
    return call(
      this.#client,
      "create_api_key",
      { tenant_id: tenantId, name, role, expires_at },
      CreatedApiKey,
    );
  }

  /** A tenant's keys, oldest first, also those that are over, and without their secrets; none without `apikey:read`. */
  listApiKeys(tenantId: string, options?: ListOptions): Promise<ApiKey[]> {
    const keys = this.#client.from("api_keys").select("*").eq("tenant_id", tenantId);
    return list(keys.order("created_at").order("id"), ApiKey, options);
  }

  /**
   * Ends a key, and those that it made, at once and for good; again changes nothing. Needs `apikey:delete`.
   * @throws {NotFoundError} `api_key_not_found`.
   * @throws {PermissionError} `permission_denied`, `role_above_own`: the key's role is above the caller's.
   */
  revokeApiKey(keyId: string): Promise<void> {
    return call(this.#client, "revoke_api_key", { id: keyId }, Nothing);
  }
}
