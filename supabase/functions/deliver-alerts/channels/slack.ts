import { z } from "zod";
import { slackBlocks } from "../../_shared/alert_message.ts";
import { failure } from "../outbox.ts";
import type { SendAlert } from "../send.ts";
import { type HttpDeps, postJson } from "./http.ts";

const Config = z.object({ webhook_url: z.string(), channel: z.string().min(1).nullish() });

/** What Slack says no to for good; https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors */
const DEFINITE = [400, 403, 404];
const REASON = /^[a-z_]{1,50}$/;

/** An incoming webhook of Slack. */
export function slackChannel(deps: HttpDeps): SendAlert {
  return async (message, { config }, signal) => {
    const settings = Config.safeParse(config).data;
    if (!settings) return failure("The channel has no URL.", { is_permanent: true });
    const body = JSON.stringify(slackBlocks(message, settings.channel ?? undefined));
    return await postJson(deps, { url: settings.webhook_url, body }, signal, (answer) => {
      const reason = answer.body.trim();
      return {
        ...(REASON.test(reason) && { error: `Slack answered ${answer.status}: ${reason}.` }),
        ...(DEFINITE.includes(answer.status) && { is_permanent: true }),
      };
    });
  };
}
