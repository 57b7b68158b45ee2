import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { afterAll, beforeEach, describe, expect, inject, test } from "vitest";
import { createMeterbase } from "../../src/index.ts";
import { createTenant, type Person, signUp, type Tenant } from "../helpers/people.ts";
import { Sink, type SunkRequest } from "../helpers/sink.ts";
import { until } from "../helpers/until.ts";

const { databaseUrl, webhookSinkUrl } = inject("stack");
const sink = new Sink(webhookSinkUrl);
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

let owner: Person;
let tenant: Tenant;
let path: string;
let channelId: string;

const alerts = () => createMeterbase(owner.client).alerts;

beforeEach(async () => {
  owner = await signUp();
  tenant = await createTenant(owner.client);
  path = `/${randomUUID()}`;
  const channel = { type: "webhook", name: "Hook", config: { url: sink.url + path } } as const;
  channelId = (await alerts().createChannel(tenant.id, channel)).id;
});

/** What arrives of the next message, in its first so many attempts. */
async function arrived(count = 1): Promise<SunkRequest[]> {
  const before = (await sink.requestsTo(path)).length;
  await alerts().testChannel(channelId);
  await until(async () => (await sink.requestsTo(path)).length >= before + count, 50_000);
  return (await sink.requestsTo(path)).slice(before);
}

const libraries = { standardwebhooks: StandardWebhook, svix: SvixWebhook };
const verifies = (Library: new (secret: string) => StandardWebhook, secret: string, request: SunkRequest) => {
  try {
    return new Library(secret).verify(request.body, request.headers) !== undefined;
  } catch {
    return false;
  }
};
const withHeader = (request: SunkRequest, name: string, value: string): SunkRequest => ({
  ...request,
  headers: { ...request.headers, [name]: value },
});

describe.each(Object.entries(libraries))("a receiver with %s", (_, library) => {
  const Library = library as unknown as typeof StandardWebhook;

  test("verifies what arrives, and nothing that was changed on the way", async () => {
    const secret = await alerts().rotateChannelSecret(channelId);
    const [request] = (await arrived()) as [SunkRequest];
    expect(request).toMatchObject({ method: "POST", headers: { "content-type": "application/json" } });
    expect(new Library(secret).verify(request.body, request.headers)).toMatchObject({
      type: "alert.test",
      timestamp: expect.any(String),
      data: { tenant_id: tenant.id, title: "Test alert" },
    });

    const { "webhook-id": id, "webhook-timestamp": timestamp } = request.headers as Record<string, string>;
    const changed: SunkRequest[] = [
      { ...request, body: request.body.replace("Test alert", "Pest alert") },
      { ...request, body: `${request.body} ` },
      withHeader(request, "webhook-id", randomUUID()),
      withHeader(request, "webhook-id", `${id}.`),
      withHeader(request, "webhook-timestamp", String(Number(timestamp) - 1)),
      withHeader(request, "webhook-timestamp", String(Number(timestamp) + 1)),
      withHeader(request, "webhook-signature", "v1,AAAA"),
    ];
    expect(verifies(Library, secret, request)).toBe(true);
    expect(changed.map((one) => verifies(Library, secret, one))).toEqual(changed.map(() => false));
    expect(verifies(Library, `whsec_${btoa("another secret of 24 byte")}`, request)).toBe(false);
  });

  test("verifies with the secret before or the new one while they change, and with the new one alone after a day", async () => {
    const revoked = await alerts().rotateChannelSecret(channelId);
    const before = await alerts().rotateChannelSecret(channelId);
    const current = await alerts().rotateChannelSecret(channelId);
    const accepting = async () => {
      const [request] = (await arrived()) as [SunkRequest];
      return [revoked, before, current].map((secret) => verifies(Library, secret, request));
    };
    expect(await accepting()).toEqual([false, true, true]);
    await sql`
      update public.alert_channels set secret_rotated_at = secret_rotated_at - interval '24 hours' where id = ${channelId}`;
    expect(await accepting()).toEqual([false, false, true]);
  });
});

test("a message that is sent again has the id and the body that it had, a later timestamp, and verifies", async () => {
  const secret = await alerts().rotateChannelSecret(channelId);
  await sink.answer(path, { status: 500, times: 1 });
  await sink.answer(path, { status: 200 });
  const [first, second] = (await arrived(2)) as [SunkRequest, SunkRequest];
  expect(second.headers["webhook-id"]).toBe(first.headers["webhook-id"]);
  expect(second.body).toBe(first.body);
  expect(Number(second.headers["webhook-timestamp"])).toBeGreaterThan(
    Number(first.headers["webhook-timestamp"]),
  );
  for (const Library of Object.values(libraries)) {
    for (const request of [first, second]) {
      expect(verifies(Library as unknown as typeof StandardWebhook, secret, request)).toBe(true);
    }
  }
  // The id is the notification's; another message has another.
  const [third] = (await arrived()) as [SunkRequest];
  expect(third.headers["webhook-id"]).not.toBe(first.headers["webhook-id"]);
  const sent = async () =>
    await sql`select id, attempts from public.alert_notifications where channel_id = ${channelId} and status = 'sent' order by created_at`;
  await until(async () => (await sent()).length === 2);
  expect(await sent()).toEqual([
    { id: first.headers["webhook-id"], attempts: 2 },
    { id: third.headers["webhook-id"], attempts: 1 },
  ]);
});
