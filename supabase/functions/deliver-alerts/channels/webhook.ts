import { Webhook } from "standardwebhooks";
import { z } from "zod";
import { webhookBody } from "../../_shared/alert_message.ts";
import { failure } from "../outbox.ts";
import type { SendAlert } from "../send.ts";
import { type HttpDeps, postJson } from "./http.ts";

const Config = z.object({ url: z.string(), secrets: z.array(z.string()).min(1) });

/**
 * Webhooks as https://www.standardwebhooks.com has them: an id and a body that stay the same over retries, a timestamp of
 * this attempt, and a signature by each of the channel's secrets. Any refusal is tried again: an endpoint that answers 404
 * while it is deployed must lose nothing.
 */
export function webhookChannel(deps: HttpDeps): SendAlert {
  return async (message, { id, config, created_at }, signal) => {
    const settings = Config.safeParse(config).data;
    if (!settings)
      return failure("The channel has no URL, or no secret to sign with.", { is_permanent: true });
    const { url, secrets } = settings;
    const body = JSON.stringify(webhookBody(message, created_at));
    const now = deps.now();
    const headers = {
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(" "),
    };
    return await postJson(deps, { url, body, headers }, signal);
  };
}
