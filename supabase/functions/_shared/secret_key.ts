import { timingSafeEqual } from "node:crypto";
import { hashSecret } from "./api_key.ts";
import { ApiError } from "./http.ts";

/**
 * 401 unless a request has the project's secret key as `apikey`, as the database's schedule sends it. Compares hashes, which
 * are of one length, in a time that says nothing of the key.
 */
export async function requireSecretKey(request: Request, secretKey: string): Promise<void> {
  const encoder = new TextEncoder();
  const hashOf = async (key: string) => encoder.encode(await hashSecret(key));
  const sent = await hashOf(request.headers.get("apikey") ?? "");
  if (timingSafeEqual(sent, await hashOf(secretKey))) return;
  throw new ApiError(401, "unauthorized", "Send the project's secret key as apikey.");
}
