import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type JWTPayload, SignJWT } from "jose";
import ws from "ws";
import { JWT_SECRET, PUBLISHABLE_KEY } from "../../scripts/stack/settings.ts";

/** A token with these claims, good for a minute unless they say otherwise, signed as the local project does it. */
export function signToken(claims: JWTPayload, secret = JWT_SECRET): Promise<string> {
  return new SignJWT({ exp: Math.floor(Date.now() / 1000) + 60, ...claims })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(secret));
}

/** What an edge function's token for an API key says. */
export const apiKeyClaims = (id: string) => ({ role: "authenticated", iss: "meterbase", api_key: id });

/** A supabase-js client that sends this token. */
export function clientWith(url: string, token: string): SupabaseClient {
  return createClient(url, PUBLISHABLE_KEY, {
    accessToken: () => Promise.resolve(token),
    realtime: { transport: ws as unknown as typeof WebSocket },
  });
}
