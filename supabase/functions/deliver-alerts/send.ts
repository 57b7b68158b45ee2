import { AlertMessage, htmlOf, subjectOf, textOf } from "../_shared/alert_message.ts";
import { log } from "../_shared/http.ts";
import type { Clock } from "./clock.ts";
import { Billing, billingMail, Invite, inviteMail, type Mail } from "./mails.ts";
import { failure, type Notification, type Outcome } from "./outbox.ts";

/** Whatever hangs is given up then. */
export const DEADLINE_MS = 10_000;
/** How long a channel has to say what became of a message after it was told to stop. */
const STOP_MS = 250;

/** A mail to one address. */
export type SendMail = (mail: Mail, notification: Notification, signal: AbortSignal) => Promise<Outcome>;
/** An alert to one channel. */
export type SendAlert = (
  message: AlertMessage,
  notification: Notification,
  signal: AbortSignal,
) => Promise<Outcome>;

export interface Channels {
  email: SendMail;
  slack: SendAlert;
  webhook: SendAlert;
  pagerduty: SendAlert;
  console: SendAlert;
}

export interface SendDeps {
  channels: Channels;
  /** Where links of mails lead; null where nobody has said. */
  siteUrl: string | null;
  clock: Clock;
}

/** Sends a message by its channel and says what became of it: also when that throws, or does not come back. */
export function createSend({
  channels,
  siteUrl,
  clock,
}: SendDeps): (notification: Notification) => Promise<Outcome> {
  const byChannel = async (notification: Notification, signal: AbortSignal): Promise<Outcome> => {
    const { kind, channel_type, recipient, payload } = notification;
    if (channel_type === "email" && recipient === null) {
      return failure("The message has no recipient.", { is_permanent: true }); // whoever it was is forgotten
    }
    if (kind !== "alert") {
      const mail = mailOf(kind, payload, siteUrl);
      return "ok" in mail ? mail : channels.email(mail, notification, signal);
    }
    const message = AlertMessage.safeParse(payload).data;
    if (!message) return failure("The message is no alert.", { is_permanent: true });
    if (channel_type === "email") {
      const mail = { subject: subjectOf(message), text: textOf(message), html: htmlOf(message) };
      return channels.email(mail, notification, signal);
    }
    if (!isAlertChannel(channel_type)) {
      return failure("There is no channel of this type.", { is_permanent: true });
    }
    return channels[channel_type](message, notification, signal);
  };

  return async (notification) => {
    const stop = new AbortController();
    const answered = new AbortController();
    const late = async (): Promise<Outcome> => {
      await clock.sleep(DEADLINE_MS, answered.signal);
      stop.abort(new DOMException("late", "TimeoutError"));
      await clock.sleep(STOP_MS, answered.signal);
      return failure("There was no answer in time.", { blocks_channel: true });
    };
    try {
      return await Promise.race([byChannel(notification, stop.signal), late()]);
    } catch (error) {
      // What nobody foresaw may hold a secret.
      log("error", "A message could not be sent", { id: notification.id, error: nameOf(error) });
      return failure("The message could not be sent.");
    } finally {
      answered.abort();
    }
  };
}

type AlertChannel = Exclude<keyof Channels, "email">;
const isAlertChannel = (type: string): type is AlertChannel =>
  ["slack", "webhook", "pagerduty", "console"].includes(type);

const nameOf = (error: unknown) => (error instanceof Error ? error.name : typeof error);

/** The mail of an invite or of billing, or why there is none. */
function mailOf(kind: "invite" | "billing", payload: unknown, siteUrl: string | null): Mail | Outcome {
  const none = failure(`The message is no ${kind} mail.`, { is_permanent: true });
  if (kind === "billing") {
    const billing = Billing.safeParse(payload).data;
    return billing ? billingMail(billing) : none;
  }
  const invite = Invite.safeParse(payload).data;
  if (!invite) return none;
  if (siteUrl === null) return failure("SITE_URL is not set: an invitation has to lead somewhere.");
  return inviteMail(invite, siteUrl);
}
