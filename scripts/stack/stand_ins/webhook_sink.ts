import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import { type Server, startServer } from "../server.ts";

const KEPT = 10_000;

/** How a path is to answer: `{ "ok": true }` with 200, unless told otherwise. */
interface Behaviour {
  status?: number;
  headers?: Record<string, string>;
  /** Answered after so many milliseconds; `hang` is never, until that is taken back or the sink stops. */
  delay_ms?: number;
  hang?: boolean;
  /** For so many requests; without it, for all. */
  times?: number;
}

/**
 * Takes any request on any path; `GET /requests` lists what it got, oldest first, and `DELETE /requests` forgets it.
 *
 * `POST /_responses` `{ path, status?, headers?, delay_ms?, hang?, times? }` says how a path answers from now on, after what
 * was said of it before has been used up; `DELETE /_responses` takes it all back, and answers what hangs. So
 * `{ "path": "/hook", "status": 429, "headers": { "retry-after": "5" }, "times": 1 }` refuses one request, and
 * `{ "path": "/hook", "hang": true }` leaves all that follow without an answer.
 */
export async function startWebhookSink(): Promise<Server> {
  const requests: { method: string; path: string; headers: Record<string, string>; body: string }[] = [];
  const behaviours = new Map<string, Behaviour[]>();
  const held = () => {
    const controller = new AbortController();
    setMaxListeners(0, controller.signal); // as many as there are requests that wait
    return controller;
  };
  let released = held();
  const release = () => {
    behaviours.clear();
    released.abort();
    released = held();
  };

  const app = new Hono();
  app.get("/requests", (c) => c.json(requests));
  app.delete("/requests", (c) => {
    requests.length = 0;
    return c.body(null, 204);
  });
  app.post("/_responses", async (c) => {
    const { path, ...behaviour } = await c.req.json<Behaviour & { path: string }>();
    behaviours.set(path, [...(behaviours.get(path) ?? []), behaviour]);
    return c.body(null, 204);
  });
  app.delete("/_responses", (c) => {
    release();
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
    const { status = 200, headers = {}, delay_ms = 0, hang = false } = take(behaviours.get(pathname)) ?? {};
    if (hang || delay_ms > 0) await untilReleased(released.signal, hang ? null : delay_ms);
    const body = [204, 304].includes(status) ? null : JSON.stringify({ ok: status < 400 });
    return new Response(body, { status, headers: { "content-type": "application/json", ...headers } });
  });
  const server = await startServer(app.fetch);
  return {
    ...server,
    stop: async () => {
      release();
      await server.stop();
    },
  };
}

/** The behaviour whose turn it is: one for all requests has it until something else is said. */
function take(queue: Behaviour[] = []): Behaviour | undefined {
  while (queue.length > 1 && queue[0]?.times === undefined) queue.shift();
  const [first] = queue;
  if (first?.times !== undefined && --first.times <= 0) queue.shift();
  return first;
}

/** After so many milliseconds, or only once it is released. */
async function untilReleased(released: AbortSignal, ms: number | null): Promise<void> {
  await sleep(ms ?? 2 ** 31 - 1, undefined, { signal: released }).catch(() => {});
}
