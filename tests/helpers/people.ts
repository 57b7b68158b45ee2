import { randomUUID } from "node:crypto";
import { inject } from "vitest";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import type { Client, Database } from "../../src/index.ts";

const { url, publishableKey, secretKey } = inject("stack");

export const service = supabaseClient(url, secretKey);
export const anon = supabaseClient(url, publishableKey);

export interface Person {
  id: string;
  token: string;
  client: Client;
}

/** Somebody who has just signed up through Auth. */
export async function signUp(): Promise<Person> {
  const client = supabaseClient(url, publishableKey);
  const credentials = { email: `${randomUUID()}@example.com`, password: "correct horse battery staple" };
  const { data, error } = await client.auth.signUp(credentials);
  if (error || !data.session || !data.user) throw new Error(`sign-up: ${error?.message ?? "no session"}`);
  return { id: data.user.id, token: data.session.access_token, client };
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

/** `POST /functions/v1/chat` as the bearer of a token. */
export function chat(token: string | null, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/functions/v1/chat`, {
    method: "POST",
    headers: {
      apikey: publishableKey,
      "content-type": "application/json",
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
}
