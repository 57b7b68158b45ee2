import { type Context, Hono } from "hono";
import { z } from "zod";
import { customerOf, setCard } from "./customers.ts";
import type { Deliveries } from "./delivery.ts";
import { ApiError } from "./errors.ts";
import { API_SHAPES } from "./events.ts";
import { runDue } from "./schedule.ts";
import type { State } from "./state.ts";
import type { Traffic } from "./traffic.ts";

const modeSchema = z.strictObject({
  api_shape: z.enum(API_SHAPES).optional(),
  delay_ms: z.int().min(0).optional(),
  drop: z.boolean().optional(),
  duplicate: z.int().min(0).max(20).optional(),
  hold: z.boolean().optional(),
  shuffle: z.boolean().optional(),
  url: z.url().optional(),
});
const releaseSchema = z.strictObject({ order: z.array(z.string()).optional() });
const clockSchema = z.strictObject({ advance_seconds: z.int().min(0) });
const failuresSchema = z.strictObject({
  count: z.int().min(0).default(1),
  status: z.int().min(400).max(599).default(500),
});
const cardSchema = z.strictObject({ card: z.enum(["works", "declined"]) });

/** What tests and demos turn: deliveries, the clock, cards, and the record of requests; all in JSON. */
export function createControl(state: State, deliveries: Deliveries, traffic: Traffic): Hono {
  const app = new Hono().basePath("/_stand_in");
  app.onError((error, c) => {
    const status = error instanceof ApiError ? error.status : 400;
    return c.json({ error: error.message }, status === 404 ? 404 : 400);
  });

  app.get("/deliveries", (c) => c.json({ deliveries: deliveries.list(), pending: deliveries.pending() }));
  app.post("/deliveries", async (c) => {
    const { api_shape, url, ...mode } = await read(c, modeSchema);
    if (api_shape !== undefined) state.events.shape = api_shape;
    Object.assign(deliveries.mode, mode);
    if (url !== undefined) deliveries.deliverTo(url);
    return c.json({ ...deliveries.mode, api_shape: state.events.shape });
  });
  app.post("/deliveries/release", async (c) => {
    deliveries.release((await read(c, releaseSchema)).order);
    return c.json({ pending: deliveries.pending() });
  });
  app.post("/clock", async (c) => {
    const { advance_seconds: seconds } = await read(c, clockSchema);
    advanceClock(state, seconds);
    return c.json({ now: state.clock.now() });
  });
  app.get("/clock", (c) => c.json({ now: state.clock.now() }));
  app.post("/customers/:id", async (c) => {
    const customer = customerOf(state, c.req.param("id"));
    setCard(state, customer, (await read(c, cardSchema)).card);
    return c.json(customer);
  });
  app.get("/requests", (c) => c.json(traffic.received));
  app.delete("/requests", (c) => {
    traffic.forget();
    return c.body(null, 204);
  });
  app.post("/failures", async (c) => {
    const { count, status } = await read(c, failuresSchema);
    traffic.fail(count, status);
    return c.json({ count, status });
  });
  return app;
}

/** Moves the clock on; what is due until then happens at its own moments. */
export function advanceClock(state: State, seconds: number): void {
  runDue(state, state.clock.now() + seconds);
  state.clock.advance(seconds);
}

/** An empty body is an empty object. */
async function read<T extends z.ZodType>(c: Context, schema: T): Promise<z.output<T>> {
  const body = await c.req.text();
  return schema.parse(body === "" ? {} : JSON.parse(body));
}
