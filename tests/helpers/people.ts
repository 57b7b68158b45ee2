import { randomUUID } from "node:crypto";
import { inject } from "vitest";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import type { Client, Database } from "../../src/index.ts";

const { url, publishableKey, secretKey } = inject("stack");

export const service = supabaseClient(url, secretKey);
export const anon = supabaseClient(url, publishableKey);

export interface Person {
  id: string;
  email: string;
  token: string;
  client: Client;
}

/** Somebody who has just signed up through Auth. */
export async function signUp(): Promise<Person> {
  const client = supabaseClient(url, publishableKey);
  const email = `${randomUUID()}@example.com`;
  const { data, error } = await client.auth.signUp({ email, password: "correct horse battery staple" });
  if (error || !data.session || !data.user) throw new Error(`sign-up: ${error?.message ?? "no session"}`);
  return { id: data.user.id, email, token: data.session.access_token, client };
}

export type Tenant = Database["public"]["Tables"]["tenants"]["Row"];

/** A tenant of somebody, or of nobody with the secret key. */
export async function createTenant(client: Client, plan = "trial"): Promise<Tenant> {
  const { data, error } = await client.rpc("create_tenant", {
    name: `Tenant ${randomUUID()}`,
    plan_id: plan,
  });
  if (error) throw new Error(`create_tenant: ${error.message}`);
  return data;
}

/** A request to an edge function as the bearer of an access token or an API key. */
export function callFunction(
  path: string,
  token: string | null,
  { method = "GET", body, signal }: { method?: string; body?: object; signal?: AbortSignal | undefined } = {},
): Promise<Response> {
  return fetch(`${url}/functions/v1/${path}`, {
    method,
    headers: {
      apikey: publishableKey,
      ...(body && { "content-type": "application/json" }),
      ...(token && { authorization: `Bearer ${token}` }),
    },
    ...(body && { body: JSON.stringify(body) }),
    ...(signal && { signal }),
  });
}

/** `POST /functions/v1/chat` as the bearer of an access token or an API key. */
export const chat = (token: string | null, body: object, signal?: AbortSignal) =>
  callFunction("chat", token, { method: "POST", body, signal });
