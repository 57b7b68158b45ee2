import { inBackground } from "../_shared/background.ts";
import { projectCallers } from "../_shared/caller.ts";
import { ProjectEnv, readAlertsEnv, readEnv } from "../_shared/env.ts";
import { guardedPost } from "../_shared/guarded_fetch.ts";
import { log, withErrors } from "../_shared/http.ts";
import { consoleChannel } from "./channels/console.ts";
import { emailChannel, smtpServer } from "./channels/email.ts";
import { pagerdutyChannel } from "./channels/pagerduty.ts";
import { slackChannel } from "./channels/slack.ts";
import { webhookChannel } from "./channels/webhook.ts";
import { systemClock as clock } from "./clock.ts";
import { handleDelivery } from "./handler.ts";
import { operatorChannels } from "./operator_channels.ts";
import { outboxOf } from "./outbox.ts";
import { createSend } from "./send.ts";

const env = readEnv();
const { secretKey, ...project } = ProjectEnv.parse(env);
const { email, siteUrl, pagerdutyUrl, allowedHosts, operator, faults } = readAlertsEnv(env);
for (const variable of faults) {
  log("error", "What a variable of the environment says is left out: it cannot be", { variable });
}
const { service } = projectCallers({ secretKey, ...project });

const now = () => new Date();
/** For what the operator says where it is, which need not be of the public internet. */
const postTo = (url: string) => guardedPost({ allowedHosts: [new URL(url).hostname] });
const post = guardedPost({ allowedHosts });
const via = email?.via ?? null;

const send = createSend({
  channels: {
    email: emailChannel(email, {
      post: via && "apiUrl" in via ? postTo(via.apiUrl) : post,
      smtp: via && "smtpUrl" in via ? smtpServer(via.smtpUrl) : () => Promise.reject(new Error("no server")),
      now,
    }),
    slack: slackChannel({ post, now }),
    webhook: webhookChannel({ post, now }),
    pagerduty: pagerdutyChannel({ post: postTo(pagerdutyUrl), url: pagerdutyUrl, now }),
    console: consoleChannel,
  },
  siteUrl,
  clock,
});
const register = async () => {
  await service("register_operator_channels", { channels: operatorChannels(operator) });
};
const deps = { secretKey, outbox: outboxOf(service), send, register, inBackground, clock };

export default { fetch: withErrors((request) => handleDelivery(request, deps)) };
