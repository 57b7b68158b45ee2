import { type DeliveryIo, type DeliveryResult, deliver } from "./alert_delivery.ts";
import {
  type AlertMessage,
  AlertSnapshot,
  htmlOf,
  slackBlocks,
  subjectOf,
  textOf,
  webhookBody,
} from "./alert_message.ts";
import type { Alert } from "./alert_rows.ts";

export interface AlertManagerChannels {
  email?: EmailOptions;
  /** `channel` (`#billing-alerts`) in place of the one that the webhook was made for, where Slack lets it. */
  slack?: { webhookUrl: string; channel?: string };
  /** Addresses that get each alert as JSON, as the database's webhooks do, but unsigned. */
  webhooks?: string[];
  /** Whether alerts are printed. */
  console?: boolean;
}

/** By the API of Resend, or one that takes the same at `apiUrl`. */
export interface EmailOptions {
  apiKey: string;
  fromEmail: string;
  to: string | string[];
  replyTo?: string;
  apiUrl?: string;
}

/** A channel of this process. `target` says where it leads to, without what of an address is secret. */
export interface Sender {
  channel: "email" | "slack" | "webhook" | "console";
  target: string;
  send(alert: Alert): Promise<DeliveryResult>;
}

const RESEND_URL = "https://api.resend.com/emails";

/** @throws {TypeError} an address is no URL. */
export function sendersOf(
  { email, slack, webhooks = [], console: isPrinted = false }: AlertManagerChannels,
  io: DeliveryIo & { print: (text: string) => void },
): Sender[] {
  return [
    ...(email ? [emailSender(email, io)] : []),
    ...(slack ? [slackSender(slack, io)] : []),
    ...webhooks.map((url) => webhookSender(url, io)),
    ...(isPrinted ? [consoleSender(io.print)] : []),
  ];
}

function emailSender(
  { apiKey, fromEmail, to, replyTo, apiUrl = RESEND_URL }: EmailOptions,
  io: DeliveryIo,
): Sender {
  const { href: url } = new URL(apiUrl);
  const recipients = [to].flat();
  const send = async (alert: Alert) => {
    const message = messageOf(alert);
    const headers = { authorization: `Bearer ${apiKey}`, "idempotency-key": keyOf(alert) };
    const body = {
      from: fromEmail,
      to: recipients,
      ...(replyTo !== undefined && { reply_to: replyTo }),
      subject: subjectOf(message),
      text: textOf(message),
      html: htmlOf(message),
    };
    return deliver({ url, headers, body }, io);
  };
  return { channel: "email", target: recipients.join(", "), send };
}

function slackSender(
  { webhookUrl, channel }: NonNullable<AlertManagerChannels["slack"]>,
  io: DeliveryIo,
): Sender {
  const { href: url, host } = new URL(webhookUrl);
  const send = async (alert: Alert) => deliver({ url, body: slackBlocks(messageOf(alert), channel) }, io);
  return { channel: "slack", target: host, send };
}

function webhookSender(address: string, io: DeliveryIo): Sender {
  const { href: url, host } = new URL(address);
  const send = async (alert: Alert) => {
    const body = webhookBody(messageOf(alert), happenedAt(alert));
    return deliver({ url, headers: { "webhook-id": keyOf(alert) }, body }, io);
  };
  return { channel: "webhook", target: host, send };
}

function consoleSender(print: (text: string) => void): Sender {
  const send = async (alert: Alert) => {
    const message = messageOf(alert);
    print(`${subjectOf(message)}\n${textOf(message)}`);
    return { attempts: 1 };
  };
  return { channel: "console", target: "console", send };
}

/** The same for every try, so that an endpoint can tell a second one from a second alert. */
const keyOf = ({ id, status }: Alert) => `${id}_${status}`;

const EVENTS = { open: "opened", acknowledged: "acknowledged", resolved: "resolved" } as const;

function messageOf(alert: Alert): AlertMessage {
  const { acknowledged_by, resolved_by, last_occurred_at, cleared_at, ...told } = alert;
  return { event: EVENTS[alert.status], alert: AlertSnapshot.parse(told) };
}

function happenedAt({ status, opened_at, acknowledged_at, resolved_at }: Alert): string {
  return { open: opened_at, acknowledged: acknowledged_at, resolved: resolved_at }[status] ?? opened_at;
}
