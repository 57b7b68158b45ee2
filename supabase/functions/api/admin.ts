import type { Hono } from "hono";
import { z } from "zod";
import type { Identify } from "../_shared/caller.ts";
import { ApiError } from "../_shared/http.ts";

/** Lets platform admins alone into `/admin`: the database is asked, and remembers whom it refused. */
export function guardAdminArea(app: Hono, identify: Identify): void {
  app.use("/admin/*", async (c, next) => {
    const caller = await identify(c.req.raw);
    const isAdmin = z.boolean().parse(await caller.rpc("enter_admin_area", { path: c.req.path }));
    if (!isAdmin) throw new ApiError(403, "platform_admin_only", "This is for platform admins.");
    await next();
  });
}
