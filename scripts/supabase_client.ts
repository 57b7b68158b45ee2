import { createClient } from "@supabase/supabase-js";
import ws from "ws";
import type { Client, Database } from "../src/index.ts";

/** A supabase-js client without a stored session. Node 20 has no WebSocket of its own, hence `ws`. */
export function supabaseClient(url: string, key: string): Client {
  return createClient<Database>(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: { transport: ws as unknown as typeof WebSocket },
  });
}
