import { requireSecretKey } from "../_shared/secret_key.ts";
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
