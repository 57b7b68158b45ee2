import { z } from "zod";

// How an alert reads in each channel. Pure, and of no runtime: the TypeScript client has a copy of this file.

const time = z.string();

export const AlertSeverity = z.enum(["low", "medium", "high", "critical"]);
export type AlertSeverity = z.infer<typeof AlertSeverity>;

export const AlertEvent = z.enum(["opened", "acknowledged", "resolved", "test"]);
export type AlertEvent = z.infer<typeof AlertEvent>;

/** An alert as it was when something happened to it; times are ISO 8601. */
export const AlertSnapshot = z.looseObject({
  id: z.string(),
  /** Null: the operator's, over all tenants. */
  tenant_id: z.string().nullable().default(null),
  tenant_name: z.string().nullable().default(null),
  rule_id: z.string().nullable().default(null),
  rule_name: z.string().nullable().default(null),
  type: z.string(),
  severity: AlertSeverity,
  title: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable().default(null),
  action_required: z.boolean().default(false),
  status: z.string().default("open"),
  dedup_key: z.string().nullable().default(null),
  occurrences: z.number().default(1),
  opened_at: time,
  acknowledged_at: time.nullable().default(null),
  resolved_at: time.nullable().default(null),
  resolution_note: z.string().nullable().default(null),
});
export type AlertSnapshot = z.infer<typeof AlertSnapshot>;

/** What became of an alert, as it is told to a channel. */
export const AlertMessage = z.object({ event: AlertEvent, alert: AlertSnapshot });
export type AlertMessage = z.infer<typeof AlertMessage>;

// Text ---------------------------------------------------------------------------------------------------------------

/** Text on one line, without control characters and what turns the direction of writing, of so many characters at most. */
export function oneLine(text: string, maxLength: number): string {
  const line = text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, " ")
    .replace(/ {2,}/g, " ")
    .trim();
  return truncate(line, maxLength);
}

/** By characters, not by halves of them. */
function truncate(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  return `${text.slice(0, maxLength - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Such as `[CRITICAL] Payment failed: Acme`, on one line. */
export function subjectOf({ event, alert }: AlertMessage): string {
  const head = { opened: alert.severity, acknowledged: "acknowledged", resolved: "resolved", test: "test" }[
    event
  ];
  const of = alert.tenant_name === null ? "" : `: ${alert.tenant_name}`;
  return oneLine(`[${head.toUpperCase()}] ${alert.title}${of}`, 200);
}

/** `2026-03-01T12:00:00.5+00:00` as `2026-03-01 12:00:00 UTC`; what is no time stays as it is. */
export function readableTime(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

const readable = (value: unknown): string =>
  truncate(typeof value === "string" ? value : (JSON.stringify(value) ?? ""), 500);

const MAX_FACTS = 20;

/** What there is to say beside title and message, in order. */
function factsOf({ alert }: AlertMessage): [name: string, value: string][] {
  const facts: [string, string | null][] = [
    ["Severity", alert.severity],
    ["Tenant", alert.tenant_name && oneLine(alert.tenant_name, 200)],
    ["Type", alert.type],
    ["Rule", alert.rule_name && oneLine(alert.rule_name, 200)],
    ["Occurrences", alert.occurrences > 1 ? String(alert.occurrences) : null],
    ["Opened", readableTime(alert.opened_at)],
    ["Acknowledged", alert.acknowledged_at && readableTime(alert.acknowledged_at)],
    ["Resolved", alert.resolved_at && readableTime(alert.resolved_at)],
    ["Note", alert.resolution_note],
    ["Action", alert.action_required ? "required" : null],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== null);
}

function dataOf({ alert }: AlertMessage): [name: string, value: string][] {
  return Object.entries(alert.data ?? {})
    .slice(0, MAX_FACTS)
    .map(([name, value]) => [oneLine(name, 100), readable(value)]);
}

export function textOf(message: AlertMessage): string {
  const lines = [...factsOf(message), ...dataOf(message)].map(([name, value]) => `${name}: ${value}`);
  return [oneLine(message.alert.title, 500), message.alert.message, lines.join("\n")]
    .filter(Boolean)
    .join("\n\n");
}

const COLOURS: Record<AlertSeverity, string> = {
  low: "#2563eb",
  medium: "#ca8a04",
  high: "#ea580c",
  critical: "#dc2626",
};
const RESOLVED_COLOUR = "#16a34a";

const colourOf = ({ event, alert }: AlertMessage) =>
  event === "resolved" ? RESOLVED_COLOUR : COLOURS[alert.severity];

/** A document for a mail; all that somebody typed is escaped. */
export function htmlOf(message: AlertMessage): string {
  const { title, message: text } = message.alert;
  return htmlPage({
    colour: colourOf(message),
    title,
    paragraphs: [escapeHtml(text).replace(/\r?\n/g, "<br>")],
    facts: [...factsOf(message), ...dataOf(message)],
  });
}

/** The frame of every mail; `paragraphs` are HTML, the rest is text. */
export function htmlPage({
  colour,
  title,
  paragraphs,
  facts,
}: {
  colour: string;
  title: string;
  paragraphs: string[];
  facts: [name: string, value: string][];
}): string {
  const cell = 'style="padding:4px 16px 4px 0;vertical-align:top"';
  const rows = facts.map(
    ([name, value]) =>
      `<tr><td ${cell}><b>${escapeHtml(name)}</b></td><td ${cell}>${escapeHtml(value)}</td></tr>`,
  );
  return [
    '<!doctype html><html><head><meta charset="utf-8"></head>',
    '<body style="font:15px/1.5 system-ui,sans-serif;color:#1f2937;margin:0;padding:24px">',
    `<div style="max-width:600px;border-top:4px solid ${colour};padding-top:16px">`,
    `<h1 style="font-size:20px;margin:0 0 12px">${escapeHtml(title)}</h1>`,
    ...paragraphs.filter(Boolean).map((paragraph) => `<p style="margin:0 0 16px">${paragraph}</p>`),
    rows.length > 0 ? `<table style="font-size:14px;border-collapse:collapse">${rows.join("")}</table>` : "",
    "</div></body></html>",
  ].join("\n");
}

// Slack --------------------------------------------------------------------------------------------------------------

/** Of text in which Slack looks for mentions and links. */
const escapeSlack = (text: string): string =>
  text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c] ?? c);

/** Escaped, and no longer than a block takes; an entity is not cut in two. */
const slackText = (text: string, maxLength: number): string =>
  truncate(escapeSlack(text), maxLength).replace(/&[a-z]{0,3}…$/, "…");

const SLACK_ICONS: Record<AlertSeverity, string> = { low: "🔵", medium: "🟡", high: "🟠", critical: "🔴" };

export interface SlackMessage {
  channel?: string;
  text: string;
  unfurl_links: false;
  blocks: Record<string, unknown>[];
}

/** A message in Slack's Block Kit: header, section, fields, context. */
export function slackBlocks(message: AlertMessage, channel?: string): SlackMessage {
  const { event, alert } = message;
  const icon = event === "resolved" ? "✅" : SLACK_ICONS[alert.severity];
  const subject = subjectOf(message);
  const facts = [...factsOf(message), ...dataOf(message)].slice(0, 10); // as many as a section takes
  const context = [`Meterbase · ${event}`, alert.id].map((text) => slackText(text, 500)).join(" · ");
  return {
    ...(channel !== undefined && { channel }),
    text: slackText(`${icon} ${subject}`, 1000),
    unfurl_links: false,
    blocks: [
      { type: "header", text: { type: "plain_text", text: truncate(`${icon} ${subject}`, 150) } },
      {
        type: "section",
        text: { type: "mrkdwn", text: slackText(alert.message || alert.title || "-", 3000) },
      },
      {
        type: "section",
        fields: facts.map(([name, value]) => ({
          type: "mrkdwn",
          text: `*${slackText(name, 200)}*\n${slackText(value, 1500)}`,
        })),
      },
      { type: "context", elements: [{ type: "mrkdwn", text: context }] },
    ],
  };
}

// PagerDuty ----------------------------------------------------------------------------------------------------------

const PAGERDUTY_SEVERITIES: Record<AlertSeverity, "critical" | "error" | "warning" | "info"> = {
  critical: "critical",
  high: "error",
  medium: "warning",
  low: "info",
};
const PAGERDUTY_ACTIONS: Record<AlertEvent, "trigger" | "acknowledge" | "resolve"> = {
  opened: "trigger",
  acknowledged: "acknowledge",
  resolved: "resolve",
  test: "trigger",
};

export interface PagerdutyEvent {
  event_action: "trigger" | "acknowledge" | "resolve";
  dedup_key: string;
  client?: string;
  payload?: Record<string, unknown>;
}

/** An event of PagerDuty's Events API v2, but for the routing key. An episode of an alert is an incident of its own. */
export function pagerdutyEvent(message: AlertMessage): PagerdutyEvent {
  const { event, alert } = message;
  const event_action = PAGERDUTY_ACTIONS[event];
  const common = { event_action, dedup_key: alert.id };
  if (event_action !== "trigger") return common;
  return {
    ...common,
    client: "Meterbase",
    payload: {
      summary: truncate(subjectOf(message), 1024),
      source: alert.tenant_id ?? "meterbase",
      severity: event === "test" ? "info" : PAGERDUTY_SEVERITIES[alert.severity],
      timestamp: alert.opened_at,
      component: alert.rule_name ?? alert.type,
      class: alert.type,
      custom_details: {
        message: alert.message,
        tenant: alert.tenant_name,
        action_required: alert.action_required,
        occurrences: alert.occurrences,
        data: alert.data,
      },
    },
  };
}

// Webhooks -----------------------------------------------------------------------------------------------------------

export interface WebhookBody {
  type: `alert.${AlertEvent}`;
  /** When it happened, ISO 8601. */
  timestamp: string;
  data: AlertSnapshot;
}

/** The body of a webhook in the form of Standard Webhooks; `at` is when it happened, not when it is sent. */
export function webhookBody({ event, alert }: AlertMessage, at: string): WebhookBody {
  return { type: `alert.${event}`, timestamp: at, data: alert };
}
