import { z } from "zod";
import { type PagerdutyEvent, pagerdutyEvent } from "../../_shared/alert_message.ts";
import { failure } from "../outbox.ts";
import type { SendAlert } from "../send.ts";
import { type HttpDeps, postJson } from "./http.ts";

const Config = z.object({ routing_key: z.string().min(1) });

/**
 * PagerDuty's Events API v2; a 400 is about the event or its key, and will not be another one later. A test opens an incident
 * and resolves it at once; where only the first half was taken, both are sent again under the same key.
 */
export function pagerdutyChannel(deps: HttpDeps & { url: string }): SendAlert {
  return async (message, { config }, signal) => {
    const settings = Config.safeParse(config).data;
    if (!settings) return failure("The channel has no routing key.", { is_permanent: true });
    const { routing_key } = settings;
    const enqueue = (event: PagerdutyEvent) =>
      postJson(
        deps,
        { url: deps.url, body: JSON.stringify({ routing_key, ...event }) },
        signal,
        ({ status }) => (status === 400 ? { error: "PagerDuty refused the event.", is_permanent: true } : {}),
      );
    const outcome = await enqueue(pagerdutyEvent(message));
    if (message.event !== "test" || !outcome.ok) return outcome;
    return await enqueue(pagerdutyEvent({ ...message, event: "resolved" }));
  };
}
