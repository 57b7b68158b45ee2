import { SmtpEmailDriver } from "@supabase/lite";
import postgres from "postgres";

interface Message {
  id: string;
  kind: "invite" | "billing";
  recipient: string;
  payload: Record<string, string>;
}

/** Takes the mails that wait in the outbox to the mailbox, as long as no edge function delivers them. */
export function startCourier(
  databaseUrl: string,
  smtpPort: number,
  siteUrl: string,
): { stop(): Promise<void> } {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const email = new SmtpEmailDriver({
    host: "127.0.0.1",
    port: smtpPort,
    from: { address: "team@meterbase.local", name: "Meterbase" },
  });

  const deliver = () =>
    sql.begin(async (tx) => {
      const due = await tx<Message[]>`
        select id, kind, recipient, payload from public.alert_notifications
        where kind in ('invite', 'billing') and status = 'pending'
        order by created_at limit 20 for update skip locked`;
      for (const { id, kind, recipient, payload } of due) {
        const mail = kind === "invite" ? inviteMail(payload, siteUrl) : billingMail(payload);
        await email.send({ to: recipient, ...mail });
        await tx`
          update public.alert_notifications
          set status = 'sent', sent_at = now(), attempts = attempts + 1 where id = ${id}`;
      }
    });

  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      // A database that restarts, or is going away with the platform, is tried again.
      await deliver().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await running;
      await sql.end({ timeout: 1 });
    },
  };
}

const inviteMail = ({ tenant_name, role, token }: Message["payload"], siteUrl: string) => ({
  subject: `You are invited to ${tenant_name}`,
  text: `Join ${tenant_name} as ${role}: ${siteUrl}/invites/accept?token=${token}`,
});

const BILLING_SUBJECTS: Record<string, string> = {
  subscription_created: "Your subscription has begun",
  subscription_updated: "Your subscription was changed",
  subscription_cancelled: "Your subscription has ended",
  payment_succeeded: "Your payment was received",
  payment_failed: "Your payment failed",
};

function billingMail({ template = "", key, tenant_name, ...facts }: Message["payload"]) {
  const lines = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  return {
    subject: `${BILLING_SUBJECTS[template] ?? template}: ${tenant_name}`,
    text: [`${template} (${key})`, ...lines].join("\n"),
  };
}
