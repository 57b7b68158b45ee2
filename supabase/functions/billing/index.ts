import { projectCallers } from "../_shared/caller.ts";
import { ProjectEnv, readEnv, readStripeEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { connectStripe } from "../_shared/stripe.ts";
import { createStripeHealth } from "../_shared/stripe_health.ts";
import { createBilling } from "./app.ts";

const env = readEnv();
const project = ProjectEnv.parse(env);
const settings = readStripeEnv(env);
const callers = projectCallers(project);
const report = createStripeHealth({ service: callers.service, now: () => new Date(), keepAlive });
const app = createBilling({
  ...callers,
  secretKey: project.secretKey,
  shop: settings && { ...settings, stripe: connectStripe(settings, undefined, report) },
  now: () => new Date(),
});

/** Has the hosted runtime wait for what goes on after a response; elsewhere it goes on by itself. */
function keepAlive(work: Promise<void>): void {
  const { EdgeRuntime } = globalThis as { EdgeRuntime?: { waitUntil(work: Promise<void>): void } };
  EdgeRuntime?.waitUntil(work);
}

export default { fetch: withErrors(async (request) => app.fetch(request)) };
