import { randomUUID } from "node:crypto";
import { lookup } from "node:dns/promises";
import { createServer, type Server } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { guardedPost, UrlRefused } from "../../supabase/functions/_shared/guarded_fetch.ts";
import { isPublicAddress } from "../../supabase/functions/_shared/public_address.ts";
import { Sink } from "../helpers/sink.ts";
import { until } from "../helpers/until.ts";
import { newTenant } from "../helpers/usage.ts";

const { databaseUrl, webhookSinkUrl } = inject("stack");
const sink = new Sink(webhookSinkUrl);
const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });

/** Listens on every address of this machine, and on one port; nobody is to come. */
let listeners: Server[];
let port: number;
let visitors: string[];

beforeAll(async () => {
  visitors = [];
  const listen = (host: string, wanted: number) =>
    new Promise<Server>((resolve, reject) => {
      const server = createServer((socket) => {
        visitors.push(`${socket.remoteAddress} to ${socket.localAddress}`);
        socket.destroy();
      });
      server
        .once("error", reject)
        .listen({ host, port: wanted, ipv6Only: host === "::" }, () => resolve(server));
    });
  const first = await listen("0.0.0.0", 0);
  port = (first.address() as { port: number }).port;
  listeners = [first, await listen("::", port)];
});
afterAll(async () => {
  for (const server of listeners ?? []) server.close();
  await sql.end();
});

/** Of this machine; one that the internet knows it by is nobody's secret. */
const own = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .filter(({ address }) => !isPublicAddress(address))
  .map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address));

/** A name, where it leads to this machine. */
async function namesOf(name: string): Promise<string[]> {
  const found = await lookup(name).catch(() => null);
  return found && !isPublicAddress(found.address) ? [name] : [];
}

/** Hosts of this machine, its network, or a cloud's inside, as somebody would write them who means no good. */
const HOSTS = [
  ...own,
  ...(await namesOf(hostname())),
  ...["127.0.0.1", "127.1", "127.0.1", "127.127.127.127", "127.0.0.1.", "0.0.0.0", "0", "0.0.0.1"],
  ...["2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0X7F.0X0.0X0.0X1", "017700000001", "0177.0.0.1"],
  ...[
    "0177.0x0.0.01",
    "00000177.0.0.1",
    "127.0.0.0x1",
    "127%2e0%2e0%2e1",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
  ],
  ...[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost..",
    "a.localhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "localhoſt",
    "%6cocalhost",
  ],
  ...[
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.255",
    "0xc0.0xa8.0.1",
  ],
  ...[
    "100.64.0.1",
    "100.127.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.43518",
  ],
  ...["0251.0376.0251.0376", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "192.0.0.1"],
  ...[
    "metadata.google.internal",
    "metadata.google.internal.",
    "instance-data.ec2.internal",
    "db.local",
    "printer.local.",
  ],
  ...["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1", "224.0.0.1"],
  ...["239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "3232235521", "0xffffffff"],
  ...[
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
  ],
  ...[
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.0.1]",
  ],
  ...["[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]"],
  ...["[64:ff9b::169.254.169.254]", "[64:ff9b:1::127.0.0.1]", "[2002:7f00:1::]", "[2002:7f00:0001::1]"],
  ...[
    "[2002:a9fe:a9fe::]",
    "[2002:0a00:0001::]",
    "[2001:0:7f00:1::]",
    "[2001:0000:4136:e378:8000:63bf:3fff:fdd2]",
  ],
  ...[
    "[fe80::1]",
    "[fe80::a9fe:a9fe]",
    "[febf::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd12:3456::1]",
  ],
  ...[
    "[ff02::1]",
    "[ff05::2]",
    "[2001:db8::1]",
    "[100::1]",
    "[5f00::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[fe80::1%25eth0]",
  ],
  ...["[::1%25lo]", "[3fff::1]", "[4000::1]", "[::2]"],
];

/** URLs whose host alone would be of the internet, or that are none. */
const OTHERS = [
  ...["https://user@example.com/", "https://user:password@127.0.0.1/", "https://example.com@127.0.0.1/"],
  ...[
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\@127.0.0.1/",
    "http://a:b@[::1]/",
    "https://@127.0.0.1/",
  ],
  ...["https://127.0.0.1?@example.com/", "https://127.0.0.1#@example.com/", "https:\\\\127.0.0.1/"],
  ...[
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stat",
  ],
  ...[
    "data:text/plain,hello",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "jar:https://127.0.0.1!/",
  ],
  ...[
    "//127.0.0.1/",
    "127.0.0.1/",
    "https:///127.0.0.1/",
    "https:127.0.0.1",
    "https://",
    "https:// 127.0.0.1/",
  ],
  ...[
    "https://127.0.0.1\t/",
    "https://127.0.0.1\n/",
    "ht\ntps://127.0.0.1/",
    " https://127.0.0.1/",
    "https://[::1",
    "",
  ],
  ...[
    "https://[127.0.0.1]/",
    "https://1.1.1.1.1/",
    "https://256.256.256.256/",
    "https://0x100000000/",
    "https://%00/",
  ],
  ...[
    "http://example.com/",
    "http://1.1.1.1/",
    "https://example.com:99999/",
    "https://exa mple.com/",
    "https://a..b@c/",
  ],
  "HTTPS://LOCALHOST/",
  "https://xn--/",
  `https://example.com/${"a".repeat(2_000)}`,
];

/** Of each host one with the port of the listeners, and another; a slash belongs to the URL. */
const hostileUrls = (): string[] => [
  ...HOSTS.flatMap((host, i) => {
    const others = [
      `http://${host}:${port}/`,
      `https://${host}/`,
      `https://${host}:6379/`,
      `http://${host}/`,
    ];
    return [`https://${host}:${port}/`, others[i % others.length] as string];
  }),
  ...OTHERS,
];

interface Fate {
  url: string;
  /** refused: no channel can have it; dead: nothing is sent there. */
  fate: string;
  error: string | null;
}

const PER_TENANT = 10; // a tenant has few channels

/** What becomes of a message to each of the URLs, of which each is a webhook's or that of Slack. */
async function send(urls: string[]): Promise<Fate[]> {
  const fates = new Map<string, Fate>();
  const channels = new Map<string, string>();
  let tenantId = "";
  for (const [i, url] of urls.entries()) {
    if (i % PER_TENANT === 0) tenantId = await newTenant(sql);
    const [type, config] = i % 5 === 0 ? ["slack", { webhook_url: url }] : ["webhook", { url }];
    const made = await sql`
      insert into public.alert_channels (tenant_id, type, name, config)
      values (${tenantId}, ${type as string}, 'Hostile', ${sql.json(config as never)}) returning id`.catch(
      (error) => {
        fates.set(url, { url, fate: "refused", error: error.hint });
        return [];
      },
    );
    const [channel] = made;
    if (!channel) continue;
    channels.set(channel.id, url);
    await sql`select public.test_alert_channel(${channel.id})`;
  }
  const outcomes = () => sql<{ channel_id: string; status: string; last_error: string | null }[]>`
    select channel_id, status, last_error from public.alert_notifications
    where channel_id in ${sql([...channels.keys()])}`;
  const isOver = async () =>
    (await outcomes()).every(({ status, last_error }) => status === "sent" || last_error !== null);
  await until(isOver, 50_000);
  for (const { channel_id, status, last_error } of await outcomes()) {
    const url = channels.get(channel_id) as string;
    fates.set(url, { url, fate: status, error: last_error });
  }
  return urls.map((url) => fates.get(url) as Fate);
}

test("of 200 hostile URLs none is connected to: each is refused, or dead with a reason", async () => {
  const urls = hostileUrls();
  expect(new Set(urls).size).toBeGreaterThanOrEqual(200);
  const fates = await send([...new Set(urls)]);
  const isClear = ({ fate, error }: Fate) =>
    fate === "refused"
      ? error === "invalid_alert_channel"
      : fate === "dead" && /^The URL('s| is| has) /.test(error ?? "");
  expect(fates.filter((fate) => !isClear(fate))).toEqual([]);
  for (const fate of ["refused", "dead"]) expect(fates.some((one) => one.fate === fate)).toBe(true);
  expect(visitors).toEqual([]);
}, 120_000);

test("a redirect of an allowed host to this machine is not followed", async () => {
  const targets = ["127.0.0.1", "[::1]", "localhost", ...own];
  const urls: string[] = [];
  for (const [i, target] of targets.entries()) {
    const path = `/${randomUUID()}`;
    const location = `${i % 2 === 0 ? "http" : "https"}://${target}:${port}/`;
    await sink.answer(path, { status: [301, 302, 303, 307, 308][i % 5] as number, headers: { location } });
    urls.push(sink.url + path);
  }
  const fates = await send(urls);
  expect(fates.map(({ fate, error }) => `${fate} ${error}`)).toEqual(
    fates.map((_, i) => `failed The endpoint answered ${[301, 302, 303, 307, 308][i % 5]}.`),
  );
  expect(visitors).toEqual([]);
}, 120_000);

test("a name that leads here, by all of its addresses or one, is refused, and what is dialled is what was looked at", async () => {
  const v4 = (address: string) => ({ address, family: 4 });
  const v6 = (address: string) => ({ address, family: 6 });
  const far = v4("8.8.8.8");
  const bare = own.map((address) => address.replace(/[[\]]/g, ""));
  const answers = [
    ...bare.map((address) => [address.includes(":") ? v6(address) : v4(address)]),
    ...[[v4("127.0.0.1")], [v6("::1")], [far, v4("127.0.0.1")], [v4("127.0.0.1"), far], [far, v6("::1")]],
    ...[
      [far, v6("::ffff:127.0.0.1")],
      [v6("64:ff9b::7f00:1")],
      [v6("2002:7f00:1::")],
      [v6("fe80::1%lo")],
      [],
    ],
    ...[
      [v4("169.254.169.254")],
      [far, v4("10.0.0.1")],
      [v6("2606:4700::1111"), v6("fd00::1")],
      [v4("0.0.0.0")],
    ],
  ];
  const options = { headers: {}, body: "{}", signal: AbortSignal.timeout(10_000) };
  for (const addresses of answers) {
    const post = guardedPost({ resolve: () => Promise.resolve(addresses) });
    const name = JSON.stringify(addresses);
    await expect(post(`https://hooks.example.com:${port}/`, options), name).rejects.toThrow(UrlRefused);
  }
  expect(visitors).toEqual([]);

  // Asked again, this name would lead here: it is asked once.
  let asked = 0;
  const dialled: unknown[] = [];
  const post = guardedPost({
    resolve: () => Promise.resolve([asked++ === 0 ? far : v4("127.0.0.1")]),
    dial: (request) => {
      dialled.push(request.addresses);
      return Promise.resolve({ status: 200, retryAfter: null, body: "" });
    },
  });
  await post(`https://rebinding.example.com:${port}/`, options);
  expect([asked, dialled]).toEqual([1, [[far]]]);
});

test("the listeners would hear of a connection", async () => {
  const { address } = (listeners[0] as Server).address() as { address: string };
  expect(address).toBe("0.0.0.0");
  const post = guardedPost({ allowedHosts: ["127.0.0.1", "[::1]"] });
  const options = { headers: {}, body: "{}", signal: AbortSignal.timeout(10_000) };
  for (const host of ["127.0.0.1", "[::1]"]) {
    await expect(post(`http://${host}:${port}/`, options)).rejects.toThrow();
  }
  expect(visitors).toHaveLength(2);
});
