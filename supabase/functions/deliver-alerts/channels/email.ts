import nodemailer from "nodemailer";
import type { EmailSettings } from "../../_shared/env.ts";
import { failure, type Outcome } from "../outbox.ts";
import type { SendMail } from "../send.ts";
import { type HttpDeps, postJson } from "./http.ts";

/** A mail as nodemailer takes it. */
export interface SmtpMail {
  from: string;
  to: { name: string; address: string };
  replyTo?: string;
  subject: string;
  text: string;
  html: string;
  messageId: string;
  headers: Record<string, string>;
}

export interface EmailDeps extends HttpDeps {
  /** Sends by SMTP; throws nodemailer's errors. */
  smtp: (mail: SmtpMail) => Promise<unknown>;
}

/** One address and nothing else: no list, no name, no second line. */
const ADDRESS = /^[^\s@<>()[\]\\,;:"]{1,64}@[^\s@<>()[\]\\,;:"]{1,255}$/;

/** Mails by SMTP or by a provider's HTTP API; all of them fail, and wait, while there is neither. */
export function emailChannel(settings: EmailSettings | null, deps: EmailDeps): SendMail {
  return async (mail, { id, recipient }, signal) => {
    if (recipient === null || !ADDRESS.test(recipient)) {
      return failure("The recipient is no address.", { is_permanent: true });
    }
    if (!settings) return failure("e-mail is not configured", { blocks_channel: true });
    const { via, from, replyTo } = settings;
    if ("smtpUrl" in via) {
      const host = /@([^\s@<>]+)>?\s*$/.exec(from)?.[1] ?? "meterbase.local";
      return await bySmtp(deps, {
        from,
        to: { name: "", address: recipient },
        ...(replyTo !== null && { replyTo }),
        ...mail,
        messageId: `<${id}@${host}>`,
        headers: { "auto-submitted": "auto-generated" },
      });
    }
    const { subject, text, html } = mail;
    const body = {
      from,
      to: [recipient],
      subject,
      text,
      html,
      ...(replyTo !== null && { reply_to: replyTo }),
    };
    const headers = { authorization: `Bearer ${via.apiKey}`, "idempotency-key": id };
    const message = { url: via.apiUrl, body: JSON.stringify(body), headers };
    return await postJson(deps, message, signal, ({ status }) => ({
      error: `The mail provider answered ${status}.`,
      // Those two are about this mail; all others about us, hence about every mail. None is about the tenant's channel.
      ...([400, 422].includes(status) ? { is_permanent: true } : { blocks_channel: true }),
    }));
  };
}

async function bySmtp({ smtp }: EmailDeps, mail: SmtpMail): Promise<Outcome> {
  try {
    await smtp(mail);
    return { ok: true };
  } catch (error) {
    return smtpFailure(error);
  }
}

interface SmtpError {
  code?: string;
  /** The server's answer, where it gave one. */
  responseCode?: number;
  /** What it was the answer to. */
  command?: string;
}

/** A server that cannot be reached, or does not let us in, fails for every mail; an answer to one mail is about that. */
function smtpFailure(error: unknown): Outcome {
  const { code = "", responseCode, command = "" } = (error ?? {}) as SmtpError;
  const isOfMail = ["RCPT TO", "DATA"].includes(command) && responseCode !== undefined;
  if (!isOfMail || responseCode === 421) {
    const why = responseCode ?? (/^[A-Z_]{2,50}$/.test(code) ? code : "no connection");
    return failure(`The mail server cannot be used (${why}).`, { blocks_channel: true });
  }
  const refusal = `The mail server answered ${responseCode}.`;
  return failure(refusal, responseCode >= 500 ? { is_permanent: true } : {});
}

/** Mails by the server of a URL, such as `smtps://user:password@mail.example.com` (`?pool=true&maxConnections=3` if it minds). */
export function smtpServer(url: string): EmailDeps["smtp"] {
  const timeouts = {
    connectionTimeout: 8_000,
    greetingTimeout: 8_000,
    socketTimeout: 9_000,
    dnsTimeout: 5_000,
  };
  const transport = nodemailer.createTransport({ url, ...timeouts });
  return (mail) => transport.sendMail({ ...mail, disableFileAccess: true, disableUrlAccess: true });
}
