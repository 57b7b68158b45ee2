import { projectCallers } from "../_shared/caller.ts";
import { ProjectEnv, readEnv, readStripeEnv } from "../_shared/env.ts";
import { withErrors } from "../_shared/http.ts";
import { handleWebhook } from "./handler.ts";

const env = readEnv();
const { service } = projectCallers(ProjectEnv.parse(env));
const secrets = readStripeEnv(env)?.webhookSecrets ?? [];

export default {
  fetch: withErrors((request) => handleWebhook(request, { secrets, service, now: () => new Date() })),
};
