import assert from "node:assert/strict";
import { Billing, billingMail, formatAmount, Invite, inviteMail } from "./mails.ts";

const HOSTILE = "Acme\r\nBcc: x@y.z <b>&\"'";
const invite = (changes = {}) =>
  inviteMail(
    Invite.parse({ tenant_name: "Acme", role: "editor", token: "inv_0a", invite_id: "i", ...changes }),
    "https://app.test",
  );
const billing = (payload: Record<string, unknown>) =>
  billingMail(Billing.parse({ key: "k", tenant_name: "Acme", ...payload }));

Deno.test("an invite has its link in the text and in the HTML", () => {
  const { subject, text, html } = invite({ expires_at: "2026-03-08T12:00:00+00:00" });
  assert.equal(subject, "You are invited to Acme");
  assert.match(text, /^Join Acme as editor: https:\/\/app\.test\/invites\/accept\?token=inv_0a$/m);
  assert.match(text, /good until 2026-03-08 12:00:00 UTC/);
  assert.match(html, /href="https:\/\/app\.test\/invites\/accept\?token=inv_0a"/);
});

Deno.test("what a tenant calls itself is neither a header nor HTML", () => {
  for (const { subject, html } of [
    invite({ tenant_name: HOSTILE }),
    billing({ template: "payment_failed", tenant_name: HOSTILE }),
    billing({ template: HOSTILE }),
  ]) {
    assert.doesNotMatch(subject, /[\r\n]/);
    assert.doesNotMatch(html, /<b>&"/);
  }
});

for (const [template, subject] of Object.entries({
  subscription_created: "Your subscription has begun",
  subscription_updated: "Your subscription was changed",
  subscription_cancelled: "Your subscription has ended",
  payment_succeeded: "Your payment was received",
  payment_failed: "Your payment failed",
  another: "another",
})) {
  Deno.test(`${template} is "${subject}"`, () => {
    assert.equal(billing({ template }).subject, `${subject}: Acme`);
  });
}

Deno.test("facts of a payment are readable", () => {
  const { text, html } = billing({
    template: "payment_failed",
    key: "payment_failed:in_1:1",
    stripe_invoice_id: "in_1",
    attempt: 1,
    status: "failed",
    amount: 4900,
    currency: "usd",
    occurred_at: "2026-03-01T12:00:00+00:00",
    number: "ACME-0001",
    hosted_invoice_url: "https://invoice.stripe.test/i/1?a=b&c=d",
    next_payment_attempt_at: "2026-03-04T12:00:00+00:00",
  });
  for (const line of [
    "Workspace: Acme",
    "Amount: $49.00",
    "Invoice number: ACME-0001",
    "Date: 2026-03-01 12:00:00 UTC",
    "Next attempt: 2026-03-04 12:00:00 UTC",
    "Reference: payment_failed:in_1:1",
    "Invoice: https://invoice.stripe.test/i/1?a=b&c=d",
  ]) {
    assert.ok(text.split("\n").includes(line), line);
  }
  assert.match(html, /href="https:\/\/invoice\.stripe\.test\/i\/1\?a=b&#38;c=d"/);
});

Deno.test("facts of a subscription are readable, and what is not there is not told", () => {
  const { text } = billing({
    template: "subscription_updated",
    plan_id: "startup",
    price_id: "startup_monthly",
    status: "past_due",
    current_period_end: "2026-04-01T00:00:00+00:00",
    cancel_at_period_end: true,
  });
  assert.match(
    text,
    /^Plan: startup\nPrice: startup monthly\nStatus: past due\nCurrent period ends: 2026-04-01/m,
  );
  assert.match(text, /^Renews: no/m);
  assert.doesNotMatch(text, /null|undefined|Amount/);
});

Deno.test("a link that is none of the web is not linked", () => {
  const { html } = billing({ template: "payment_failed", hosted_invoice_url: "javascript:alert(1)" });
  assert.doesNotMatch(html, /javascript/);
});

for (const [units, currency, formatted] of [
  [4900, "usd", "$49.00"],
  [-1, "usd", "-$0.01"],
  [149900, "eur", "€1,499.00"],
  [500, "jpy", "¥500"],
  [1234, "kwd", "KWD\u00a01.234"],
  [100, "?", "1.00 ?"],
] as const) {
  Deno.test(`${units} ${currency} is ${formatted}`, () =>
    assert.equal(formatAmount(units, currency), formatted));
}
