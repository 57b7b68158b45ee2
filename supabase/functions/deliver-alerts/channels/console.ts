import { log } from "../../_shared/http.ts";
import type { SendAlert } from "../send.ts";

/** One line on the function's log. */
export const consoleChannel: SendAlert = ({ event, alert }, { id }) => {
  const { tenant_id, type, severity, title, message } = alert;
  log("info", "Alert", {
    notification_id: id,
    event,
    alert_id: alert.id,
    tenant_id,
    type,
    severity,
    title,
    message,
  });
  return Promise.resolve({ ok: true });
};
