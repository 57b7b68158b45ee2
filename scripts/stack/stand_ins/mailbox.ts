import { Hono } from "hono";
import { simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";
import { freePort } from "../process.ts";
import { type Server, startServer } from "../server.ts";

interface Message {
  from: string;
  to: string[];
  subject: string;
  text: string;
  html: string;
  receivedAt: string;
}

/** An SMTP server that delivers nowhere: `GET /messages` lists what came, oldest first, `DELETE /messages` forgets it. */
export async function startMailbox(): Promise<Server & { smtpPort: number }> {
  const messages: Message[] = [];
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    allowInsecureAuth: true,
    onAuth: (_auth, _session, done) => done(null, { user: "any" }),
    onData(stream, session, done) {
      simpleParser(stream).then((mail) => {
        messages.push({
          from: mail.from?.text ?? "",
          to: session.envelope.rcptTo.map((recipient) => recipient.address),
          subject: mail.subject ?? "",
          text: mail.text ?? "",
          html: mail.html || "",
          receivedAt: new Date().toISOString(),
        });
        done();
      }, done);
    },
  });
  const smtpPort = await freePort();
  await new Promise<void>((resolve, reject) => {
    smtp.once("error", reject);
    smtp.listen(smtpPort, "127.0.0.1", () => resolve());
  });

  const app = new Hono();
  app.get("/messages", (c) => c.json(messages));
  app.delete("/messages", (c) => {
    messages.length = 0;
    return c.body(null, 204);
  });
  const http = await startServer(app.fetch);
  return {
    ...http,
    smtpPort,
    stop: async () => {
      await Promise.all([http.stop(), new Promise<void>((resolve) => smtp.close(() => resolve()))]);
    },
  };
}
