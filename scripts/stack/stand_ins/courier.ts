import { SmtpEmailDriver } from "@supabase/lite";
import postgres from "postgres";

interface Invite {
  id: string;
  recipient: string;
  payload: { tenant_name: string; role: string; token: string; expires_at: string };
}

/** Takes the invites that wait in the outbox to the mailbox, as long as no edge function delivers them. */
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
      const due = await tx<Invite[]>`
        select id, recipient, payload from public.alert_notifications
        where kind = 'invite' and status = 'pending' order by created_at limit 20 for update skip locked`;
      for (const { id, recipient, payload } of due) {
        await email.send({
          to: recipient,
          subject: `You are invited to ${payload.tenant_name}`,
          text: `Join ${payload.tenant_name} as ${payload.role}: ${siteUrl}/invites/accept?token=${payload.token}`,
        });
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
