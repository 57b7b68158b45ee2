import type { Rpc } from "../_shared/database.ts";
import { ApiError, log } from "../_shared/http.ts";
import { type Decision, extend, reserve, type Settlement, settle } from "../_shared/quota.ts";
import { estimatePrompt, type Message, type Usage } from "./model.ts";

/** Longer than an edge function lives, so that only a call which has died is swept. */
const TTL_SECONDS = 600;

export interface MeteredCallDeps {
  /** Calls the database as nobody: settling needs no more than the reservations' ids. */
  nobody: Rpc;
  settings: { estimatedTokens: number };
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
  readonly sessionId: string;
  readonly #deps: MeteredCallDeps;
  readonly #rpc: Rpc;
  readonly #request: MeteredRequest;
  readonly #startedAt: number;
  readonly #eventId: string;
  /** The reservations held, by id. */
  #message: string | null = null;
  #tokens: string | null = null;
  #held = 0;
  /** What is being told to the audit. */
  #told: Promise<void>[] = [];

  constructor(deps: MeteredCallDeps, rpc: Rpc, request: MeteredRequest) {
    this.#deps = deps;
    this.#rpc = rpc;
    this.#request = request;
    this.#startedAt = deps.now().getTime();
    this.#eventId = deps.newId();
    this.sessionId = request.session_id ?? deps.newId();
  }

  /** Holds a message, and the tokens of the prompt and of a first step of the answer: all of it, or none when a limit denies. */
  async admit(messages: Message[]): Promise<Decision | null> {
    const tenantId = this.#request.tenant_id;
    const amount = estimatePrompt(messages) + this.#deps.settings.estimatedTokens;
    const message = await reserve(this.#rpc, tenantId, "chat_messages", 1, { ttlSeconds: TTL_SECONDS });
    if (!message.allowed) return this.#deny(message);
    this.#message = message.reservation_id;
    const options = { ttlSeconds: TTL_SECONDS, event: this.#event() };
    const tokens = await reserve(this.#rpc, tenantId, "tokens", amount, options).catch(async (error) => {
      await this.#release();
      throw error;
    });
    if (!tokens.allowed) return this.#deny(tokens);
    this.#tokens = tokens.reservation_id;
    this.#held = amount;
    this.#tell("chat_message_received", {
      action: "received",
      metadata: { message_length: messages.at(-1)?.content.length, model: this.#request.model },
    });
    return null;
  }

  /**
   * Makes sure that `tokens` in all are held, a step at a time, or says why not. It is asked before they are passed on, so
   * that never more is passed on than is held; that is why it is closed when the database is away.
   */
  async hold(tokens: number): Promise<"held" | "quota_exceeded" | "error"> {
    const step = this.#deps.settings.estimatedTokens;
    const amount = Math.ceil((tokens - this.#held) / step) * step;
    if (amount <= 0) return "held";
    try {
      const extension = await extend(this.#deps.nobody, this.#tokens ?? "", amount);
      if (!extension.allowed) return "quota_exceeded";
      this.#held += amount;
      return "held";
    } catch (error) {
      log("error", "Chat reservation could not be extended", { error: String(error) });
      return "error";
    }
  }

  /** Charges the message and the tokens used; returns where the tokens stand. */
  settle(usage: Usage, status: number): Promise<Decision | null> {
    this.#tell("chat_response_sent", {
      action: "sent",
      result: status === 200 ? "success" : "partial",
      metadata: { tokens: usage.total_tokens, status, response_time_ms: this.#elapsed() },
    });
    return this.#close(1, usage.total_tokens, this.#event({ usage, status }));
  }

  /** Charges nothing, and records that the call failed. */
  giveBack(status: number): Promise<Decision | null> {
    this.#tell("api_error", {
      action: "failed",
      severity: "error",
      result: "failure",
      error_message: "The model did not answer.",
      metadata: { endpoint: "chat", status, response_time_ms: this.#elapsed() },
    });
    return this.#close(0, 0, this.#event({ usage: null, status }));
  }

  async recordDenial(): Promise<void> {
    const args = { tenant_id: this.#request.tenant_id, events: [this.#event({ usage: null, status: 429 })] };
    await this.#rpc("record_usage", args).catch((error) => {
      log("error", "Chat denial could not be recorded", { error: String(error) });
    });
  }

  /**
   * Settles both in one transaction. Needs no token, only the reservations' ids: a long answer outlives its caller's
   * session.
   */
  async #close(messages: number, tokens: number, event: Record<string, unknown>): Promise<Decision | null> {
    const settlements: Settlement[] = [];
    if (this.#message) settlements.push({ reservation_id: this.#message, actual_amount: messages });
    if (this.#tokens) settlements.push({ reservation_id: this.#tokens, actual_amount: tokens, event });
    const [settled] = await Promise.all([
      this.#insist(() => settle(this.#deps.nobody, settlements)),
      ...this.#told,
    ]);
    const own = settled?.find(({ reservation_id }) => reservation_id === this.#tokens);
    if (!own) return null;
    const { reservation_id: _, ...decision } = own;
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

  /** Tells the audit, as the caller; a chat does not fail over it. */
  #tell(event_type: string, fields: Record<string, unknown>): void {
    const { tenant_id } = this.#request;
    const session = { entity_type: "session", entity_id: this.sessionId };
    const told = this.#rpc("log_audit_event", { tenant_id, event_type, ...session, ...fields }).then(
      () => {},
      (error) => log("error", "Chat audit event could not be recorded", { event_type, error: String(error) }),
    );
    this.#told.push(told);
  }

  #elapsed(): number {
    return this.#deps.now().getTime() - this.#startedAt;
  }

  async #deny(decision: Decision): Promise<Decision> {
    await Promise.allSettled([this.#release(), this.recordDenial()]);
    return decision;
  }

  /** Gives the message back that was held before the tokens were not to be had. */
  async #release(): Promise<void> {
    if (this.#message) await this.#rpc("release_reservation", { reservation_id: this.#message });
  }

  /**
   * The usage event: with what is known when the call ends, or as the database records it if this process dies, then with
   * the tokens spent by then and without the message, which is given back.
   */
  #event(end?: { usage: Usage | null; status: number }): Record<string, unknown> {
    const { model, visitor_id } = this.#request;
    const usage = end?.usage;
    return {
      event_id: this.#eventId,
      event_type: "chat_message",
      quantity: usage ? 1 : 0,
      ...(end && {
        tokens_consumed: usage?.total_tokens ?? 0,
        api_response_time_ms: this.#elapsed(),
        api_status_code: end.status,
      }),
      metadata: {
        model,
        session_id: this.sessionId,
        ...(visitor_id && { visitor_id }),
        ...(usage && { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens }),
      },
    };
  }
}
