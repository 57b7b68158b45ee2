/** What the platform's receiver of webhooks got. */
export interface SunkRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** The receiver of webhooks of a platform: what it got on a path, and how it answers there. */
export class Sink {
  constructor(readonly url: string) {}

  async requestsTo(path: string): Promise<SunkRequest[]> {
    const all = (await (await fetch(`${this.url}/requests`)).json()) as SunkRequest[];
    return all.filter((request) => request.path === path);
  }

  /** From now on, or for so many `times`. */
  async answer(
    path: string,
    behaviour: { status?: number; headers?: Record<string, string>; hang?: boolean; times?: number },
  ): Promise<void> {
    await fetch(`${this.url}/_responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ path, ...behaviour }),
    });
  }
}
