import { z } from "zod";
import { pagerdutyEvent } from "../../_shared/alert_message.ts";
import { failure } from "../outbox.ts";
import type { SendAlert } from "../send.ts";
import { type HttpDeps, postJson } from "./http.ts";

const Config = z.object({ routing_key: z.string().min(1) });

/** PagerDuty's Events API v2; a 400 is about the event or its key, and will not be another one later. */
export function pagerdutyChannel(deps: HttpDeps & { url: string }): SendAlert {
  return async (message, { config }, signal) => {
    const settings = Config.safeParse(config).data;
    if (!settings) return failure("The channel has no routing key.", { is_permanent: true });
    const body = JSON.stringify({ routing_key: settings.routing_key, ...pagerdutyEvent(message) });
    return await postJson(deps, { url: deps.url, body }, signal, ({ status }) =>
      status === 400 ? { error: "PagerDuty refused the event.", is_permanent: true } : {},
    );
  };
}
