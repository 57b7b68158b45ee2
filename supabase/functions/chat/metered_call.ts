import type { Rpc } from "../_shared/database.ts";
import { ApiError, log } from "../_shared/http.ts";
import { consume, type Decision, reserve, settle } from "../_shared/quota.ts";
import type { Usage } from "./model.ts";

export interface MeteredCallDeps {
  rpc: (token: string | null) => Rpc;
  now: () => Date;
  newId: () => string;
}

export interface MeteredRequest {
  tenant_id: string;
  model: string;
  session_id?: string | undefined;
  visitor_id?: string | undefined;
}

/** The quota of one chat request, from admission to its usage event. */
export class MeteredCall {
  /** The per-minute decision, for the response's headers. */
  rate: Decision | null = null;
  readonly sessionId: string;
  readonly #deps: MeteredCallDeps;
  readonly #rpc: Rpc;
  readonly #request: MeteredRequest;
  readonly #startedAt: number;
  readonly #eventId: string;
  /** The reservations held, by id. */
  #message: string | null = null;
  #tokens: string | null = null;

  constructor(deps: MeteredCallDeps, token: string, request: MeteredRequest) {
    this.#deps = deps;
    this.#rpc = deps.rpc(token);
    this.#request = request;
    this.#startedAt = deps.now().getTime();
    this.#eventId = deps.newId();
    this.sessionId = request.session_id ?? deps.newId();
  }

  /** Takes what the call needs, all of it or, when a limit denies, none but the request itself. */
  async admit(estimatedTokens: number): Promise<Decision | null> {
    const rpc = this.#rpc;
    const tenantId = this.#request.tenant_id;
    this.rate = await consume(rpc, tenantId, "api_calls");
    if (!this.rate.allowed) return this.#deny(this.rate);
    const message = await reserve(rpc, tenantId, "chat_messages", 1);
    if (!message.allowed) return this.#deny(message);
    this.#message = message.reservation_id;
    const tokens = await reserve(rpc, tenantId, "tokens", estimatedTokens).catch(async (error) => {
      await this.#release();
      throw error;
    });
    if (!tokens.allowed) return this.#deny(tokens);
    this.#tokens = tokens.reservation_id;
    return null;
  }

  /** Charges the message and the tokens used; returns where the tokens stand. */
  settle(usage: Usage, status: number): Promise<Decision | null> {
    return this.#close(1, usage.total_tokens, this.#event(usage, status));
  }

  /** Charges nothing, and records that the call failed. */
  giveBack(status: number): Promise<Decision | null> {
    return this.#close(0, 0, this.#event(null, status));
  }

  /** Needs no token, only the reservations' ids: a long answer outlives its caller's session. */
  async #close(messages: number, tokens: number, event: Record<string, unknown>): Promise<Decision | null> {
    const rpc = this.#deps.rpc(null);
    const [, settled] = await Promise.all([
      this.#message && this.#insist(() => settle(rpc, this.#message ?? "", messages)),
      this.#tokens && this.#insist(() => settle(rpc, this.#tokens ?? "", tokens, event)),
    ]);
    if (!settled) return null;
    const { reservation_id: _, ...decision } = settled;
    return decision;
  }

  /** Tries again while the database is away: a reservation settles once. Where it stays away, the caller gets the answer. */
  async #insist<T>(settlement: () => Promise<T>): Promise<T | null> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await settlement();
      } catch (error) {
        if (error instanceof ApiError && error.code === "reservation_settled") return null; // by an earlier attempt
        const isAway = error instanceof ApiError && error.status === 503;
        if (!isAway || attempt === 4) {
          log("error", "Chat settlement failed", { error: String(error) });
          return null;
        }
        await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
      }
    }
  }

  async #deny(decision: Decision): Promise<Decision> {
    const event = this.#event(null, 429);
    await Promise.allSettled([
      this.#release(),
      this.#rpc("record_usage", { tenant_id: this.#request.tenant_id, events: [event] }),
    ]);
    return decision;
  }

  /** Gives the message back that was held before the tokens were not to be had. */
  async #release(): Promise<void> {
    if (this.#message) await this.#rpc("release_reservation", { reservation_id: this.#message });
  }

  #event(usage: Usage | null, status: number): Record<string, unknown> {
    return {
      event_id: this.#eventId,
      event_type: "chat_message",
      tokens_consumed: usage?.total_tokens ?? 0,
      api_response_time_ms: this.#deps.now().getTime() - this.#startedAt,
      api_status_code: status,
      metadata: {
        model: this.#request.model,
        session_id: this.sessionId,
        ...(this.#request.visitor_id && { visitor_id: this.#request.visitor_id }),
        ...(usage && { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens }),
      },
    };
  }
}
