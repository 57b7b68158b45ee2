import { Hono } from "hono";
import { type Server, startServer } from "../server.ts";

const KEPT = 10_000;

/** Takes any request on any path; `GET /requests` lists what it got, oldest first, and `DELETE /requests` forgets it. */
export function startWebhookSink(): Promise<Server> {
  const requests: { method: string; path: string; headers: Record<string, string>; body: string }[] = [];
  const app = new Hono();
  app.get("/requests", (c) => c.json(requests));
  app.delete("/requests", (c) => {
    requests.length = 0;
    return c.body(null, 204);
  });
  app.all("*", async (c) => {
    const { pathname, search } = new URL(c.req.url);
    requests.push({
      method: c.req.method,
      path: pathname + search,
      headers: c.req.header(),
      body: await c.req.text(),
    });
    if (requests.length > KEPT) requests.shift();
    return c.json({ ok: true });
  });
  return startServer(app.fetch);
}
