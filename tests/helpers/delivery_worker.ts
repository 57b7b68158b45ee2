import { drain } from "../../supabase/functions/deliver-alerts/worker.ts";
import { deliveryOf } from "./delivery.ts";

// A process that delivers what waits in the outbox of a database until it is killed.
const [databaseUrl = "", leaseSeconds] = process.argv.slice(2);
const delivery = deliveryOf(databaseUrl, Number(leaseSeconds));
console.log("ready");
for (;;) await drain(delivery, 60_000);
