import assert from "node:assert/strict";
import type { EmailSettings } from "../../_shared/env.ts";
import { endpoint, notification, signal } from "../testing.ts";
import { emailChannel, type SmtpMail } from "./email.ts";

const MAIL = { subject: "Subject", text: "Text", html: "<p>Text</p>" };
const SMTP: EmailSettings = {
  via: { smtpUrl: "smtp://mail.test" },
  from: "Meterbase <team@example.com>",
  replyTo: "help@example.com",
};
const API: EmailSettings = {
  via: { apiUrl: "https://api.mail.test/emails", apiKey: "re_secret" },
  from: "team@example.com",
  replyTo: null,
};

async function send(
  settings: EmailSettings | null,
  {
    recipient = "a@b.test" as string | null,
    error = undefined as unknown,
    answer = {} as Parameters<typeof endpoint>[0],
  } = {},
) {
  const mails: SmtpMail[] = [];
  const { deps, sent } = endpoint(answer);
  const smtp = (mail: SmtpMail) => {
    mails.push(mail);
    return error === undefined ? Promise.resolve() : Promise.reject(error);
  };
  const given = notification(7, { kind: "invite", channel_type: "email", recipient });
  const outcome = await emailChannel(settings, { ...deps, smtp })(MAIL, given, signal);
  if (!outcome.ok) assert.doesNotMatch(outcome.error, /secret/);
  return { outcome, mails, sent };
}
const factsOf = ({ outcome }: Awaited<ReturnType<typeof send>>) => {
  if (outcome.ok) return "ok";
  const { ok: _, error: __, ...facts } = outcome;
  return facts;
};

Deno.test("without a way to send, all mails wait", async () => {
  const { outcome, mails, sent } = await send(null);
  assert.deepEqual(outcome, { ok: false, error: "e-mail is not configured", blocks_channel: true });
  assert.deepEqual([mails, sent], [[], []]);
});

Deno.test("a mail by SMTP has an id of its own, the same each time", async () => {
  const { mails, outcome } = await send(SMTP);
  assert.deepEqual(outcome, { ok: true });
  assert.deepEqual(mails, [
    {
      ...MAIL,
      from: "Meterbase <team@example.com>",
      to: { name: "", address: "a@b.test" },
      replyTo: "help@example.com",
      messageId: `<${notification(7).id}@example.com>`,
      headers: { "auto-submitted": "auto-generated" },
    },
  ]);
});

Deno.test("a mail by a provider is sent once, whatever is asked twice", async () => {
  const { sent, outcome } = await send({ ...API, replyTo: "help@example.com" });
  assert.deepEqual(outcome, { ok: true });
  const [{ url, headers, body }] = sent as [(typeof sent)[number]];
  assert.equal(url, "https://api.mail.test/emails");
  assert.deepEqual(
    [headers["idempotency-key"], headers.authorization],
    [notification(7).id, "Bearer re_secret"],
  );
  assert.deepEqual(JSON.parse(body), {
    from: "team@example.com",
    to: ["a@b.test"],
    ...MAIL,
    reply_to: "help@example.com",
  });
});

for (const recipient of [
  ...[null, "", "a", "a@", "@b.test", "a@b.test, c@d.test", "a@b.test\r\nBcc: c@d.test", "A <a@b.test>"],
  ...["a@b.test;c@d.test", "a b@c.test", '"a"@b.test', `${"a".repeat(65)}@b.test`],
]) {
  Deno.test(`${JSON.stringify(recipient)} is no address: nothing is sent to it`, async () => {
    for (const settings of [SMTP, API, null]) {
      const result = await send(settings, { recipient });
      assert.deepEqual([factsOf(result), result.mails, result.sent], [{ is_permanent: true }, [], []]);
    }
  });
}

for (const [what, error, facts] of [
  ["a server that is away", { code: "ECONNECTION" }, { blocks_channel: true }],
  ["a server that is not found", { code: "EDNS" }, { blocks_channel: true }],
  ["a server that hangs", { code: "ETIMEDOUT", command: "CONN" }, { blocks_channel: true }],
  [
    "a password that is wrong",
    { code: "EAUTH", responseCode: 535, command: "AUTH PLAIN" },
    { blocks_channel: true },
  ],
  [
    "a sender that is refused",
    { code: "EENVELOPE", responseCode: 550, command: "MAIL FROM" },
    { blocks_channel: true },
  ],
  [
    "a server that closes",
    { code: "EENVELOPE", responseCode: 421, command: "RCPT TO" },
    { blocks_channel: true },
  ],
  ["a recipient that is busy", { code: "EENVELOPE", responseCode: 450, command: "RCPT TO" }, {}],
  [
    "a recipient that there is not",
    { code: "EENVELOPE", responseCode: 550, command: "RCPT TO" },
    { is_permanent: true },
  ],
  [
    "a mail that is refused",
    { code: "EMESSAGE", responseCode: 554, command: "DATA" },
    { is_permanent: true },
  ],
  ["a mail that is put off", { code: "EMESSAGE", responseCode: 451, command: "DATA" }, {}],
  [
    "a connection that breaks in the middle",
    { code: "ECONNRESET", command: "DATA" },
    { blocks_channel: true },
  ],
  ["what is no error", "secret", { blocks_channel: true }],
] as const) {
  Deno.test(`SMTP, ${what}: ${JSON.stringify(facts)}`, async () => {
    const withMessage = typeof error === "string" ? error : Object.assign(new Error("secret"), error);
    assert.deepEqual(factsOf(await send(SMTP, { error: withMessage })), facts);
  });
}

for (const [status, facts] of [
  [200, "ok"],
  [400, { is_permanent: true }],
  [422, { is_permanent: true }],
  [401, { blocks_channel: true }],
  [403, { blocks_channel: true }],
  [409, { blocks_channel: true }],
  [410, { blocks_channel: true }],
  [429, { retry_after_seconds: 2, blocks_channel: true }],
  [500, { retry_after_seconds: 2, blocks_channel: true }],
] as const) {
  Deno.test(`a provider's ${status}: ${JSON.stringify(facts)}`, async () => {
    const retryAfter = status === 429 || status === 500 ? "2" : null;
    assert.deepEqual(factsOf(await send(API, { answer: { status, retryAfter } })), facts);
  });
}
