import { projectCallers } from "../_shared/caller.ts";
import { ProjectEnv, readEnv, readStripeEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { connectStripe } from "../_shared/stripe.ts";
import { createBilling } from "./app.ts";

const env = readEnv();
const project = ProjectEnv.parse(env);
const settings = readStripeEnv(env);
const app = createBilling({
  ...projectCallers(project),
  secretKey: project.secretKey,
  shop: settings && { ...settings, stripe: connectStripe(settings) },
  now: () => new Date(),
});

export default { fetch: withErrors(async (request) => app.fetch(request)) };
