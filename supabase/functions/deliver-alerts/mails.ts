import { z } from "zod";
import { escapeHtml, htmlPage, oneLine, readableTime } from "../_shared/alert_message.ts";

export interface Mail {
  subject: string;
  text: string;
  html: string;
}

/** The payload of an invite in the outbox. */
export const Invite = z.looseObject({
  tenant_name: z.string(),
  role: z.string(),
  token: z.string().min(1),
  expires_at: z.string().optional(),
});

/** The payload of a billing mail in the outbox: what happened, and facts that depend on it. */
export const Billing = z.looseObject({ template: z.string(), key: z.string(), tenant_name: z.string() });

const COLOUR = "#2563eb";
const PROBLEM_COLOUR = "#dc2626";

export function inviteMail(
  { tenant_name, role, token, expires_at }: z.infer<typeof Invite>,
  siteUrl: string,
): Mail {
  const name = oneLine(tenant_name, 150);
  const link = `${siteUrl}/invites/accept?token=${encodeURIComponent(token)}`;
  const until = expires_at === undefined ? "" : `The invitation is good until ${readableTime(expires_at)}.`;
  const otherwise = "If you do not know who invited you, ignore this mail.";
  return {
    subject: `You are invited to ${name}`,
    text: [`Join ${name} as ${role}: ${link}`, until, otherwise].filter(Boolean).join("\n\n"),
    html: htmlPage({
      colour: COLOUR,
      title: `You are invited to ${name}`,
      paragraphs: [
        `You are invited to join <b>${escapeHtml(name)}</b> as ${escapeHtml(role)}.`,
        `<a href="${escapeHtml(link)}" style="display:inline-block;background:${COLOUR};color:#ffffff;padding:10px 20px;border-radius:6px;text-decoration:none">Accept the invitation</a>`,
        `Or open this link: ${escapeHtml(link)}`,
        escapeHtml([until, otherwise].filter(Boolean).join(" ")),
      ],
      facts: [],
    }),
  };
}

const TEMPLATES: Record<string, { subject: string; sentence: string; isProblem?: boolean }> = {
  subscription_created: {
    subject: "Your subscription has begun",
    sentence: "Thank you for subscribing. Your plan is in force.",
  },
  subscription_updated: {
    subject: "Your subscription was changed",
    sentence: "Your subscription is now as follows.",
  },
  subscription_cancelled: {
    subject: "Your subscription has ended",
    sentence: "Your subscription is over, and nothing more will be charged.",
  },
  payment_succeeded: { subject: "Your payment was received", sentence: "Thank you for your payment." },
  payment_failed: {
    subject: "Your payment failed",
    sentence:
      "A payment could not be taken. Please check your means of payment, so that your plan stays in force.",
    isProblem: true,
  },
};

export function billingMail({ template, key, tenant_name, ...facts }: z.infer<typeof Billing>): Mail {
  const name = oneLine(tenant_name, 150);
  const { subject, sentence, isProblem } = TEMPLATES[template] ?? {
    subject: oneLine(template, 100),
    sentence: "",
  };
  const rows: [string, string][] = [["Workspace", name], ...billingFacts(facts), ["Reference", key]];
  const link = invoiceLink(facts.hosted_invoice_url);
  return {
    subject: `${subject}: ${name}`,
    text: [
      sentence,
      rows.map(([label, value]) => `${label}: ${value}`).join("\n"),
      link && `Invoice: ${link}`,
    ]
      .filter(Boolean)
      .join("\n\n"),
    html: htmlPage({
      colour: isProblem ? PROBLEM_COLOUR : COLOUR,
      title: subject,
      paragraphs: [escapeHtml(sentence), link && `<a href="${escapeHtml(link)}">See the invoice</a>`],
      facts: rows,
    }),
  };
}

type Format = (value: unknown, facts: Record<string, unknown>) => string | null;
const text: Format = (value) => (typeof value === "string" && value !== "" ? value : null);
const name: Format = (value) => text(value, {})?.replaceAll("_", " ") ?? null;
const date: Format = (value) => (typeof value === "string" ? readableTime(value) : null);
const amount: Format = (value, { currency }) =>
  typeof value === "number" && typeof currency === "string" ? formatAmount(value, currency) : null;

/** What of the facts is worth telling, in this order. */
const LABELS: [fact: string, label: string, format: Format][] = [
  ["plan_id", "Plan", name],
  ["price_id", "Price", name],
  ["status", "Status", name],
  ["amount", "Amount", amount],
  ["number", "Invoice number", text],
  ["occurred_at", "Date", date],
  ["current_period_end", "Current period ends", date],
  [
    "cancel_at_period_end",
    "Renews",
    (value) => (value === true ? "no, it ends with the current period" : null),
  ],
  ["next_payment_attempt_at", "Next attempt", date],
];

function billingFacts(facts: Record<string, unknown>): [string, string][] {
  return LABELS.flatMap(([fact, label, format]): [string, string][] => {
    const value = format(facts[fact], facts);
    return value === null ? [] : [[label, value]];
  });
}

/** Stripe's page, and nothing that is no link of the web. */
function invoiceLink(url: unknown): string {
  return typeof url === "string" && /^https?:\/\/\S+$/.test(url) ? url : "";
}

// https://docs.stripe.com/currencies#special-cases
const NO_DECIMALS = new Set(
  "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF".split(" "), // of which UGX is told in hundredths
);
const THREE_DECIMALS = new Set("BHD JOD KWD OMR TND".split(" "));

/** An amount of Stripe's, in a currency's smallest unit, such as `$49.00`. */
export function formatAmount(units: number, currency: string): string {
  const code = currency.toUpperCase();
  const digits = THREE_DECIMALS.has(code) ? 3 : NO_DECIMALS.has(code) && code !== "UGX" ? 0 : 2;
  const value = units / 10 ** digits;
  try {
    return new Intl.NumberFormat("en-US", { style: "currency", currency: code }).format(value);
  } catch {
    return `${value.toFixed(digits)} ${code}`; // no currency that there is
  }
}
