import assert from "node:assert/strict";
import { isIP } from "node:net";
import type { Address, Dialled } from "./dial.ts";
import { guardedPost, UrlRefused } from "./guarded_fetch.ts";

const PUBLIC = "93.184.216.34";
const PUBLIC_V6 = "2606:2800:220:1::1";
const toAddress = (address: string): Address => ({ address, family: isIP(address) });

/** A guard whose names have these addresses, one list a look-up, and what it looked up and dialled. */
function guard(lookups: string[][] = [[PUBLIC]], allowedHosts: string[] = []) {
  const looked: string[] = [];
  const dialled: { host: string; addresses: string[] }[] = [];
  const post = guardedPost({
    allowedHosts,
    resolve: async (name) => {
      looked.push(name);
      return (lookups[looked.length - 1] ?? []).map(toAddress);
    },
    dial: async ({ url, addresses }: Dialled) => {
      dialled.push({ host: url.host, addresses: addresses.map(({ address }) => address) });
      return { status: 200, retryAfter: null, body: "" };
    },
  });
  const send = (url: string, signal = new AbortController().signal) =>
    post(url, { headers: {}, body: "{}", signal });
  return { send, looked, dialled };
}

async function assertRefused(url: string, lookups?: string[][]) {
  const { send, looked, dialled } = guard(lookups);
  const error = await send(url).then(
    () => assert.fail("sent"),
    (error) => error,
  );
  assert.ok(error instanceof UrlRefused, String(error));
  assert.deepEqual(dialled, []);
  assert.doesNotMatch(error.message, /secret|\d+\.\d+/);
  return looked;
}

// Hostile URLs ---------------------------------------------------------------------------------------------------

const INNER_V4 = [
  ...["0.0.0.0", "10.0.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254"],
  ...["172.16.0.1", "192.168.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255"],
];

/** Every way to write an IPv4 address that a URL's parser, or somebody's own, takes for it. */
function spellings(address: string): string[] {
  const bytes = address.split(".").map(Number) as [number, number, number, number];
  const [a, b, c, d] = bytes;
  const whole = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
  const hex = (n: number) => `0x${n.toString(16)}`;
  const octal = (n: number) => `0${n.toString(8)}`;
  const group = (high: number, low: number) => (high * 256 + low).toString(16);
  const embedded = `${group(a, b)}:${group(c, d)}`;
  return [
    ...[address, `${address}.`, `${whole}`, hex(whole), octal(whole), `${address}:8443`],
    ...[bytes.map(hex).join("."), bytes.map(octal).join("."), `${a}.${b}.${c * 256 + d}`],
    ...[`${a}.${whole % 2 ** 24}`, `${hex(a)}.${octal(b)}.${c}.${d}`, `00000${octal(a)}.${b}.${c}.${d}`],
    ...[address.replace(/\d/g, (digit) => `%3${digit}`), address.replaceAll(".", "。")],
    address.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
    ...[`[::ffff:${address}]`, `[::${embedded}]`, `[::ffff:0:${embedded}]`, `[64:ff9b::${embedded}]`],
    ...[`[64:ff9b:1::${embedded}]`, `[2002:${embedded}::1]`, `[2001:0:${embedded}::]`],
  ];
}

const INNER_NAMES = [
  ...[
    "localhost",
    "LocalHost",
    "localhost.",
    "localhost..",
    "a.localhost",
    "a.b.localhost.",
    "localhost:443",
  ],
  ...["metadata.google.internal", "METADATA.GOOGLE.INTERNAL.", "x.internal", "internal", "printer.local"],
  ...[
    "local",
    "ｌｏｃａｌｈｏｓｔ",
    "local%68ost",
    "loca\u00adlhost",
    "ⓛocalhost",
    "metadata。google。internal",
  ],
];

const OTHER_URLS = [
  ...[
    "",
    " ",
    "hook",
    "/hook",
    "//hooks.test/x",
    "https://",
    "https:///",
    "https://[",
    "https://[::1",
    "https://a b/",
  ],
  ...[
    "http://hooks.test/",
    "http://93.184.216.34/",
    "ftp://hooks.test/",
    "file:///etc/passwd",
    "ws://hooks.test/",
  ],
  ...["gopher://127.0.0.1:6379/_x", "dict://127.0.0.1:11211/", "javascript:alert(1)", "data:text/plain,x"],
  ...["blob:https://hooks.test/x", "unix:/var/run/docker.sock", "https://user@hooks.test/"],
  ...["https://user:secret@hooks.test/", "https://:secret@hooks.test/", "https://93.184.216.34@127.0.0.1/"],
  ...[
    "https://hooks.test@169.254.169.254/",
    "https:\\\\127.0.0.1/",
    "https:127.0.0.1",
    "https://127.0.0.1#@hooks.test",
  ],
  ...[
    "https://127.0.0.1?@hooks.test",
    "https://127.0.0.1\\@hooks.test",
    "ht\ntps://127.0.0.1/",
    "https://127.0.\t0.1/",
  ],
  ...[
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
  ],
  ...["https://[fe80::1%25eth0]/", "https://[fc00::1]/", "https://[ff02::1]/", "https://[2001:db8::1]/"],
  ...["https://[100::1]/", "https://[4000::1]/", "https://[::ffff:7f00:1]/", "https://[2001:0:7f00:1::]/"],
  ...[
    "https://256.256.256.256/",
    "https://1.2.3.4.5/",
    "https://0x7f.1.1.1.1/",
    "https://%00/",
    "https://a%2fb/",
  ],
];

const hostile = [
  ...INNER_V4.flatMap(spellings).map((host) => `https://${host}/secret`),
  ...INNER_NAMES.map((host) => `https://${host}/secret`),
  ...OTHER_URLS,
];

Deno.test(`${hostile.length} hostile URLs: no name is looked up, and nothing is dialled`, async () => {
  assert.ok(new Set(hostile).size >= 250, String(new Set(hostile).size));
  for (const url of new Set(hostile)) {
    const looked = await assertRefused(url).catch((error) => assert.fail(`${url}: ${error}`));
    assert.deepEqual(looked, [], url);
  }
});

const INNER_ADDRESSES = [
  ...INNER_V4,
  ...[
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001::1",
  ],
  ...[
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "2001:db8::1",
    "4000::1",
    "no address",
  ],
];

Deno.test("names that resolve to what is not public are not dialled, whatever else they resolve to", async () => {
  for (const inner of INNER_ADDRESSES) {
    for (const answer of [
      [inner],
      [inner, PUBLIC],
      [PUBLIC, inner],
      [PUBLIC, PUBLIC_V6, inner],
      [PUBLIC_V6, inner, PUBLIC],
    ]) {
      for (const url of ["https://hooks.test/secret", "https://hooks.test:8443/", "https://hooks.test./"]) {
        assert.equal((await assertRefused(url, [answer])).length, 1, `${url}: ${answer}`);
      }
    }
  }
});

Deno.test("a name without an address is not dialled", async () => {
  await assertRefused("https://hooks.test/", [[]]);
});

Deno.test("a name that changes its mind: it is looked up once, and what was checked is dialled", async () => {
  const { send, looked, dialled } = guard([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]);
  await send("https://rebinding.test/hook");
  assert.deepEqual(looked, ["rebinding.test"]);
  assert.deepEqual(dialled, [{ host: "rebinding.test", addresses: [PUBLIC] }]);
});

// What passes ----------------------------------------------------------------------------------------------------

Deno.test("what is public is dialled at all the addresses that were checked", async () => {
  const { send, dialled } = guard([[PUBLIC_V6, PUBLIC]]);
  await send("https://hooks.test:8443/x");
  assert.deepEqual(dialled, [{ host: "hooks.test:8443", addresses: [PUBLIC_V6, PUBLIC] }]);
});

for (const [host, address] of [
  [PUBLIC, PUBLIC],
  ["0x5db8d822", PUBLIC],
  [`[${PUBLIC_V6}]`, PUBLIC_V6],
] as const) {
  Deno.test(`${host} needs no look-up`, async () => {
    const { send, looked, dialled } = guard();
    await send(`https://${host}/x`);
    assert.deepEqual([looked, dialled[0]?.addresses], [[], [address]]);
  });
}

Deno.test("hosts on the list are not checked: these and no others", async () => {
  const allowed = ["127.0.0.1:9000", "Inner.local", "[::1]:80", "127.0.0.1:443"];
  for (const [url, address] of [
    ["http://127.0.0.1:9000/x", "127.0.0.1"],
    ["https://127.0.0.1/x", "127.0.0.1"],
    ["http://inner.local:1/x", "10.0.0.1"],
    ["https://inner.local/x", "10.0.0.1"],
    ["http://[::1]/x", "::1"],
  ] as const) {
    const { send, dialled } = guard([["10.0.0.1"]], allowed);
    await send(url);
    assert.deepEqual(dialled[0]?.addresses, [address], url);
  }
  for (const url of [
    ...["http://127.0.0.1:9001/", "http://127.0.0.1/", "http://127.0.0.2:9000/", "http://localhost:9000/"],
    ...[
      "http://a.inner.local/",
      "http://inner.local.test/",
      "http://[::1]:81/",
      "http://inner.local@127.0.0.1/",
    ],
    ...["http://u:p@127.0.0.1:9000/", "ftp://inner.local/"],
  ]) {
    const { send, dialled } = guard([["10.0.0.1"]], allowed);
    await assert.rejects(send(url), UrlRefused, url);
    assert.deepEqual(dialled, []);
  }
});

// Ends -----------------------------------------------------------------------------------------------------------

Deno.test("whoever is told to stop does not wait for a name", async () => {
  const stop = new AbortController();
  const post = guardedPost({ resolve: () => new Promise(() => {}), dial: () => assert.fail("dialled") });
  const sent = post("https://hooks.test/", { headers: {}, body: "", signal: stop.signal });
  stop.abort(new Error("late"));
  await assert.rejects(sent, /late/);
  const again = post("https://hooks.test/", { headers: {}, body: "", signal: stop.signal });
  await assert.rejects(again, /late/);
});

Deno.test("a name that is not found is a failure of the network, not of the URL", async () => {
  const post = guardedPost({
    resolve: () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
    dial: () => assert.fail("dialled"),
  });
  const { signal } = new AbortController();
  await assert.rejects(post("https://hooks.test/", { headers: {}, body: "", signal }), { code: "ENOTFOUND" });
});
