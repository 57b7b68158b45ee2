import { timingSafeEqual } from "node:crypto";
import { hashSecret } from "../_shared/api_key.ts";
import { ApiError } from "../_shared/http.ts";
import type { BillingDeps } from "./app.ts";
import { reconcile } from "./reconcile.ts";
import { recover } from "./recover.ts";
import type { AddRoutes, Shop } from "./routes.ts";

export interface MaintenanceDeps extends Pick<BillingDeps, "nobody" | "service" | "secretKey" | "now"> {
  shop: () => Shop;
}

/** What the database's schedule calls, with the project's secret key as `apikey`; 401 without it. */
export function maintenanceRoutes({ plain }: AddRoutes, deps: MaintenanceDeps): void {
  for (const [path, run] of [
    ["/recover", recover],
    ["/reconcile", reconcile],
  ] as const) {
    plain("post", path, async (request) => {
      await requireSecretKey(request, deps.secretKey);
      return Response.json(await run({ ...deps, shop: deps.shop() }));
    });
  }
}

/** Compares hashes, which are of one length, in a time that says nothing of the key. */
async function requireSecretKey(request: Request, secretKey: string): Promise<void> {
  const encoder = new TextEncoder();
  const hashOf = async (key: string) => encoder.encode(await hashSecret(key));
  const sent = await hashOf(request.headers.get("apikey") ?? "");
  if (timingSafeEqual(sent, await hashOf(secretKey))) return;
  throw new ApiError(401, "unauthorized", "Send the project's secret key as apikey.");
}
