import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as NetServer,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Address, type Dialled, dial } from "../../supabase/functions/_shared/dial.ts";

const HERE: Address = { address: "127.0.0.1", family: 4 };
/** Of loopback too, and with nobody who listens. */
const NOBODY: Address = { address: "127.0.0.2", family: 4 };

const servers: NetServer[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

/** Listens at one address of this machine; gives the port. */
async function listen(server: NetServer | Server, host = HERE.address, port = 0): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket.on("error", () => {}).once("close", () => sockets.delete(socket)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** A server that answers with these bytes, or does as told, once something has come; `got` is what came. */
async function serveBytes(answer: string | ((socket: Socket) => void)) {
  const got: string[] = [];
  const port = await listen(
    createTcpServer((socket) => {
      let all = "";
      socket.on("data", (chunk) => {
        all += chunk;
        if (got.push(all) > 1) return;
        if (typeof answer === "string") socket.end(answer);
        else answer(socket);
      });
    }),
  );
  return { port, got };
}

const send = (url: string, changes: Partial<Dialled> = {}, trust = {}) =>
  dial(
    {
      url: new URL(url),
      addresses: [HERE],
      headers: { "content-type": "application/json" },
      body: '{"ü":1}',
      signal: AbortSignal.timeout(5_000),
      ...changes,
    },
    trust,
  );

test("one POST goes to the address, under the name of the URL, and is answered", async () => {
  const heard: unknown[] = [];
  const answer: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      heard.push([method, url, headers, Buffer.concat(chunks).toString()]);
      response.writeHead(503, { "Retry-After": "120", "content-length": 4 }).end("busy");
    });
  };
  const port = await listen(createServer(answer));
  // Nothing resolves this name: that it arrives shows that nobody asked.
  const answered = await send(`http://hooks.invalid:${port}/a%20b?c=d`, { headers: { "webhook-id": "1" } });
  expect(answered).toEqual({ status: 503, retryAfter: "120", body: "busy" });
  const headers = {
    host: `hooks.invalid:${port}`,
    connection: "close",
    "content-length": "8",
    "webhook-id": "1",
  };
  expect(heard).toEqual([["POST", "/a%20b?c=d", headers, '{"ü":1}']]);
});

test.each([
  [
    "in chunks",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n1;x=y\r\no\r\n0\r\n\r\n",
    200,
    "hello",
  ],
  ["until it closes", "HTTP/1.1 202 Accepted\r\n\r\nhello", 202, "hello"],
  ["with nothing", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
  [
    "after an early hint",
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  ["and breaks off", "HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nhello", 500, "hello"],
])("an answer that comes %s", async (_, bytes, status, body) => {
  const { port } = await serveBytes(bytes);
  expect(await send(`http://hooks.invalid:${port}/`)).toEqual({ status, retryAfter: null, body });
});

test.each([301, 302, 307, 308])("a redirect (%i) is an answer, and is not followed", async (status) => {
  const other = await serveBytes("HTTP/1.1 200 OK\r\n\r\n");
  const { port } = await serveBytes(
    `HTTP/1.1 ${status} Moved\r\nlocation: http://127.0.0.1:${other.port}/\r\ncontent-length: 0\r\n\r\n`,
  );
  expect(await send(`http://hooks.invalid:${port}/`)).toMatchObject({ status });
  expect(other.got).toEqual([]);
});

test("of a body 64 kB are read, and then the connection is closed", async () => {
  let closed = false;
  const { port } = await serveBytes((socket) => {
    const more = () => {
      while (!socket.destroyed && socket.write("x".repeat(10_000)));
    };
    socket.once("close", () => {
      closed = true;
    });
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    socket.on("drain", more);
    more();
  });
  const { status, body } = await send(`http://hooks.invalid:${port}/`);
  expect([status, body.length, /^x+$/.test(body)]).toEqual([200, 65_536, true]);
  await expect.poll(() => closed).toBe(true);
});

const isClosed = async () => expect.poll(() => sockets.size).toBe(0);

test("who does not answer is left when the time is over", async () => {
  const { port, got } = await serveBytes(() => {});
  const stop = new AbortController();
  const sent = send(`http://hooks.invalid:${port}/`, { signal: stop.signal });
  await expect.poll(() => got.length).toBe(1);
  stop.abort(new DOMException("late", "TimeoutError"));
  await expect(sent).rejects.toThrow("late");
  await isClosed();
});

test("who never ends an answer has given its status", async () => {
  const { port } = await serveBytes((socket) => {
    socket.write("HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\nslow");
  });
  const signal = AbortSignal.timeout(300);
  const answer = await send(`http://hooks.invalid:${port}/`, { signal });
  expect(answer).toEqual({ status: 429, retryAfter: "7", body: "slow" });
  await isClosed();
});

test("who is told to stop before it began sends nothing", async () => {
  const { port, got } = await serveBytes("HTTP/1.1 200 OK\r\n\r\n");
  await expect(send(`http://hooks.invalid:${port}/`, { signal: AbortSignal.abort() })).rejects.toThrow();
  expect([got, sockets.size]).toEqual([[], 0]);
});

test.each([
  ["resets", (socket: Socket) => void socket.resetAndDestroy()],
  ["closes", (socket: Socket) => void socket.destroy()],
  ["speaks another language", (socket: Socket) => void socket.end("220 mail.test ESMTP\r\n")],
  [
    "has headers without end",
    (socket: Socket) => void socket.end(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`),
  ],
])("who %s has failed, and is not asked twice", async (_, answer) => {
  let asked = 0;
  const { port } = await serveBytes((socket) => {
    asked++;
    answer(socket);
  });
  await expect(send(`http://hooks.invalid:${port}/`)).rejects.toThrow();
  expect(asked).toBe(1);
});

test("who closes before anything was sent has failed", async () => {
  const port = await listen(createTcpServer((socket) => void socket.destroy()));
  await expect(send(`http://hooks.invalid:${port}/`)).rejects.toThrow();
});

// Addresses -----------------------------------------------------------------------------------------------------------

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

test("an address that refuses gives way to the next; the first that takes the connection is alone", async () => {
  const { port, got } = await serveBytes(ok);
  const answer = await send(`http://hooks.invalid:${port}/`, { addresses: [NOBODY, HERE, NOBODY] });
  expect([answer.body, got.length]).toEqual(["ok", 1]);
  await expect(send(`http://hooks.invalid:${port}/`, { addresses: [NOBODY] })).rejects.toMatchObject({
    code: "ECONNREFUSED",
  });
  await expect(send(`http://hooks.invalid:${port}/`, { addresses: [] })).rejects.toThrow("no address");
});

test("an address that took the message and failed does not give way: it may have been heard", async () => {
  const { port } = await serveBytes((socket) => void socket.destroy());
  let others = 0;
  const other = createTcpServer(() => void others++);
  await listen(other, NOBODY.address, port);
  await expect(send(`http://hooks.invalid:${port}/`, { addresses: [HERE, NOBODY] })).rejects.toThrow();
  expect(others).toBe(0);
});

test("an address whose handshake hangs gives way after a while, within the time that there is", async () => {
  const certificate = issue("hooks.test");
  const port = await listen(
    createTcpServer(() => {}),
    NOBODY.address,
  );
  await listen(
    createTlsServer(certificate, (_, response) => void response.end("ok")),
    HERE.address,
    port,
  );
  const addresses = [NOBODY, HERE];
  const signal = AbortSignal.timeout(10_000);
  const answer = await send(`https://hooks.test:${port}/`, { addresses, signal }, { ca });
  expect(answer.body).toBe("ok");
  const early = send(`https://hooks.test:${port}/`, { addresses, signal: AbortSignal.timeout(300) }, { ca });
  await expect(early).rejects.toThrow(/timeout/);
}, 20_000);

// Certificates --------------------------------------------------------------------------------------------------------

let folder: string;
let ca: string;
const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "meterbase-dial-"));
  const forCa = ["-addext", "basicConstraints=critical,CA:TRUE", "-days", "2", "-subj", "/CN=Test"];
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", ...forCa);
  ca = readFileSync(join(folder, "ca.pem"), "utf8");
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A certificate for a name, or for an address, by the authority of this test. */
function issue(name: string, days = "2"): { key: string; cert: string } {
  const kind = /^[\d.]+$/.test(name) ? "IP" : "DNS";
  writeFileSync(join(folder, "san"), `subjectAltName=${kind}:${name}\nbasicConstraints=CA:FALSE\n`);
  openssl("req", ...newKey, "-keyout", "key", "-out", "csr", "-subj", "/CN=Test");
  const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
  openssl("x509", "-req", "-in", "csr", "-out", "cert", "-days", days, "-extfile", "san", ...by);
  return { key: readFileSync(join(folder, "key"), "utf8"), cert: readFileSync(join(folder, "cert"), "utf8") };
}

/** What a server with a certificate for `name` is asked for under the host of a URL. */
async function overTls(name: string, host: string, { trust = { ca } as { ca?: string }, days = "2" } = {}) {
  const names: (string | false | undefined)[] = [];
  const server = createTlsServer(issue(name, days), (request, response) => {
    names.push((request.socket as Socket & { servername?: string | false }).servername);
    response.end(request.headers.host);
  });
  const port = await listen(server);
  const sent = send(`https://${host}:${port}/secret`, {}, trust);
  return { sent, names, port };
}

test("a certificate for the name of the URL is taken, whatever the address", async () => {
  for (const host of ["hooks.test", "HOOKS.test", "hooks.test."]) {
    const { sent, names, port } = await overTls("hooks.test", host);
    expect(await sent).toEqual({ status: 200, retryAfter: null, body: `${host.toLowerCase()}:${port}` });
    expect(names).toEqual(["hooks.test"]);
  }
  const { sent } = await overTls("127.0.0.1", "127.0.0.1");
  expect((await sent).status).toBe(200);
});

test.each([
  ["another name", "other.test", {}],
  ["a name below", "a.hooks.test", {}],
  ["the address alone", "127.0.0.1", {}],
  ["the name, by an authority that nobody trusts", "hooks.test", { trust: {} }],
  ["the name, of the past", "hooks.test", { days: "0" }],
])("a certificate for %s is refused before anything is sent", async (_, name, options) => {
  const { sent, names } = await overTls(name, "hooks.test", options);
  await expect(sent).rejects.toThrow();
  expect(names).toEqual([]);
});

test("a certificate for another address is refused", async () => {
  const { sent, names } = await overTls("127.0.0.9", "127.0.0.1");
  await expect(sent).rejects.toThrow();
  expect(names).toEqual([]);
});

// Smuggling -----------------------------------------------------------------------------------------------------------

const BREAKS = ["\r\n", "\n", "\r", "\0"];

test("a line break in a header is refused, and nothing is dialled", async () => {
  const { port, got } = await serveBytes(ok);
  for (const line of BREAKS) {
    for (const headers of [
      { "webhook-id": `1${line}x-smuggled: 2` },
      { [`webhook-id${line}x-smuggled`]: "1" },
      { "webhook-id": `${line}${line}POST /smuggled HTTP/1.1` },
    ]) {
      await expect(send(`http://hooks.invalid:${port}/`, { headers })).rejects.toThrow(/invalid/);
    }
  }
  expect([got, sockets.size]).toEqual([[], 0]);
});

test("a header that contradicts the body is refused, and nothing is sent", async () => {
  const { port, got } = await serveBytes(ok);
  for (const [name, value] of [
    ["transfer-encoding", "chunked"],
    ["content-length", "3"],
  ] as const) {
    await expect(send(`http://hooks.invalid:${port}/`, { headers: { [name]: value } })).rejects.toThrow();
  }
  expect(got).toEqual([]);
});

test("a line break in a URL is none any more", async () => {
  for (const line of [...BREAKS, "%0d%0a", " HTTP/1.1\r\nx-smuggled: 1\r\n\r\n"]) {
    const { port, got } = await serveBytes(ok);
    const answer = await send(
      `http://hooks.invalid:${port}/a${line}x-smuggled: 1?b${line}x-smuggled: 2#c${line}`,
    );
    expect(answer.body).toBe("ok");
    const lines = (got.at(-1) ?? "").split("\r\n");
    expect(lines[0]).toMatch(/^POST \/a[!-~]*\?b[!-~]* HTTP\/1\.1$/);
    expect(lines.filter((one) => /^(x-smuggled|POST)/.test(one))).toHaveLength(1);
  }
});
