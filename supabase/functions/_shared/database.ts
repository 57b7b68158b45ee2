import { createClient } from "@supabase/supabase-js";
import { ApiError } from "./http.ts";

/** Calls a database function and returns what it answers; throws an ApiError when it refuses. */
export type Rpc = (name: string, args: Record<string, unknown>) => Promise<unknown>;

/**
 * Calls as the bearer of `token`, under row level security, or as `anon` without one. The data API checks the
 * token's signature, so a forged one is refused at the first call.
 */
export function createRpc(url: string, publishableKey: string, token: string | null): Rpc {
  const client = createClient(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(token && { global: { headers: { authorization: `Bearer ${token}` } } }),
  });
  return async (name, args) => {
    const { data, error, status } = await client.rpc(name, args);
    if (!error) return data;
    if (status === 401) throw new ApiError(401, "unauthorized", "The access token is not valid.");
    const reason = /^PT\d{3}$/.test(error.code) ? error.hint : error.code; // other hints are sentences of Postgres
    if (status >= 400 && status < 500) throw new ApiError(status, reason, error.message);
    throw new ApiError(503, "database_unavailable", "The database cannot be reached; try again.");
  };
}
