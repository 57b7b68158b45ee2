import type { Client } from "./client.ts";
import { DeliveryBuffer, type DeliveryOptions } from "./delivery_buffer.ts";
import { UnavailableError } from "./errors.ts";
import type { Quota, QuotaDecision, QuotaItem } from "./quota.ts";

export type FailureMode = "open" | "closed";

/** A take that was allowed while the database was away. */
export type OfflineTake = Required<Pick<QuotaItem, "metric" | "amount" | "idempotencyKey">> & {
  subject?: string;
};

export interface EnforcementOptions {
  /** What metrics do while the database is away; beyond these, as their rows in `metrics` say. */
  failureModes?: Record<string, FailureMode>;
  /** Where takes that were allowed meanwhile are kept, and who is told of those that are denied afterwards. */
  offline?: DeliveryOptions<OfflineTake>;
}

/** `allowed`: all of them were taken. */
export interface MultipleQuotaResult {
  allowed: boolean;
  results: QuotaDecision[];
}

interface Metric {
  failure_mode: FailureMode;
  default_period: string;
}

/** As the catalogue is delivered: for when the database has not been reached yet. All others are closed. */
const DELIVERED: Record<string, Metric> = {
  tokens: { failure_mode: "open", default_period: "day" },
  api_calls: { failure_mode: "open", default_period: "minute" },
  chat_messages: { failure_mode: "open", default_period: "day" },
  embeddings: { failure_mode: "open", default_period: "day" },
};
const REFRESH_MS = 5 * 60_000;
/** A first try that failed sooner was cut off, and a second may succeed at once. */
const RETRY_WITHIN_MS = 1_000;
/** For so long after a failure nobody asks again, so that an outage does not slow every caller down. */
const AWAY_MS = 2_000;

/** Takes of quota that are decided even while the database is away. */
export class Enforcer {
  readonly #client: Client;
  readonly #quota: Pick<Quota, "consumeQuota" | "consumeQuotas">;
  readonly #failureModes: Record<string, FailureMode>;
  readonly #offline: DeliveryBuffer<OfflineTake>;
  #metrics = DELIVERED;
  #refreshAt = 0;
  #awayUntil = 0;

  constructor(
    client: Client,
    quota: Pick<Quota, "consumeQuota" | "consumeQuotas">,
    { failureModes = {}, offline }: EnforcementOptions,
  ) {
    this.#client = client;
    this.#quota = quota;
    this.#failureModes = failureModes;
    this.#offline = new DeliveryBuffer((tenantId, takes) => this.#replay(tenantId, takes), offline);
    if (offline?.journal) void this.#offline.flush(); // what an earlier process has left
  }

  async enforce(tenantId: string, item: QuotaItem): Promise<QuotaDecision> {
    const { results } = await this.#decide(tenantId, [item], ([keyed]) =>
      this.#quota.consumeQuota(tenantId, item.metric, keyed).then((decision) => [decision]),
    );
    return results[0] as QuotaDecision;
  }

  enforceAll(tenantId: string, items: QuotaItem[]): Promise<MultipleQuotaResult> {
    return this.#decide(tenantId, items, (keyed) => this.#quota.consumeQuotas(tenantId, keyed));
  }

  shutdown(timeoutMs?: number): Promise<void> {
    return this.#offline.shutdown(timeoutMs);
  }

  async #decide(
    tenantId: string,
    items: QuotaItem[],
    take: (keyed: Keyed[]) => Promise<QuotaDecision[]>,
  ): Promise<MultipleQuotaResult> {
    const keyed = items.map((item) => ({
      ...item,
      amount: item.amount ?? 1,
      idempotencyKey: item.idempotencyKey ?? crypto.randomUUID(),
    }));
    if (Date.now() >= this.#awayUntil) {
      void this.#refresh();
      try {
        const startedAt = Date.now();
        // Twice: the keys make sure that it is taken once.
        const results = await take(keyed).catch((error) => {
          if (error instanceof UnavailableError && Date.now() - startedAt < RETRY_WITHIN_MS)
            return take(keyed);
          throw error;
        });
        return { allowed: results.every(({ allowed }) => allowed), results };
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        this.#awayUntil = Date.now() + AWAY_MS;
      }
    }
    const allowed = items.every(({ metric }) => this.#failureMode(metric) === "open");
    if (allowed) for (const item of keyed) this.#keep(tenantId, item);
    return { allowed, results: items.map(({ metric }) => undecided(metric, allowed)) };
  }

  #failureMode(metric: string): FailureMode {
    return this.#failureModes[metric] ?? this.#metrics[metric]?.failure_mode ?? "closed";
  }

  /** What belongs to a minute or an hour that will be over means nothing later. */
  #keep(tenantId: string, { metric, amount, subject, idempotencyKey }: Keyed): void {
    if (/^(minute|hour)$/.test(this.#metrics[metric]?.default_period ?? "")) return;
    this.#offline.add(tenantId, {
      metric,
      amount,
      idempotencyKey,
      ...(subject !== undefined && { subject }),
    });
  }

  async #replay(tenantId: string, takes: OfflineTake[]) {
    const decisions = await Promise.all(
      takes.map(({ metric, ...take }) => this.#quota.consumeQuota(tenantId, metric, take)),
    );
    return decisions.flatMap(({ allowed, reason }, index) =>
      allowed ? [] : [{ index, reason: String(reason) }],
    );
  }

  /** Looks at the catalogue now and then, while the database can be reached. */
  async #refresh(): Promise<void> {
    if (Date.now() < this.#refreshAt) return;
    this.#refreshAt = Date.now() + REFRESH_MS;
    const { data } = await this.#client.from("metrics").select("id, failure_mode, default_period");
    if (data) this.#metrics = Object.fromEntries(data.map(({ id, ...metric }) => [id, metric]));
    else this.#refreshAt = 0;
  }
}

type Keyed = QuotaItem & { amount: number; idempotencyKey: string };

const undecided = (metric: string, allowed: boolean): QuotaDecision => ({
  allowed,
  metric,
  period: null,
  limit_value: null,
  used: null,
  remaining: null,
  resets_at: null,
  reason: "database_unavailable",
  decision_id: null,
});
