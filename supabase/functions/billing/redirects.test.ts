import assert from "node:assert/strict";
import { redirectUrl } from "./redirects.ts";

const ALLOWED = ["https://app.test/billing", "http://127.0.0.1:3000", "https://docs.test/a/b/"];

Deno.test("unless asked otherwise, customers go to the first allowed URL", () => {
  assert.equal(redirectUrl(ALLOWED, undefined).href, "https://app.test/billing");
});

for (const url of [
  "https://app.test/billing",
  "https://app.test/billing/",
  "https://app.test/billing/done?session={CHECKOUT_SESSION_ID}#top",
  "https://APP.test:443/billing?x=1",
  "http://127.0.0.1:3000/anywhere",
  "https://docs.test/a/b",
  "https://docs.test/a/b/c",
]) {
  Deno.test(`${url} is allowed`, () => {
    assert.equal(redirectUrl(ALLOWED, url).href, new URL(url).href);
  });
}

for (const [what, url] of Object.entries({
  "another host": "https://evil.test/billing",
  "a host that begins with it": "https://app.test.evil.test/billing",
  "a host that ends with it": "https://evilapp.test/billing",
  "a host with a dot at its end": "https://app.test./billing",
  "it as a user": "https://app.test@evil.test/billing",
  "a user at it": "https://user@app.test/billing",
  "a password at it": "https://:secret@app.test/billing",
  "a backslash": "https://evil.test\\@app.test/billing",
  "another port": "https://app.test:444/billing",
  "plain http": "http://app.test/billing",
  "https where http is allowed": "https://127.0.0.1:3000/",
  "another name of the loopback": "http://localhost:3000/",
  "another path": "https://app.test/",
  "a path that begins with the same letters": "https://app.test/billing-evil",
  "a path that leaves again": "https://app.test/billing/../admin",
  "a path that leaves again, encoded": "https://app.test/billing/%2e%2e/admin",
  "a part of the path": "https://docs.test/a",
  "a path in another case": "https://app.test/Billing",
  "no host": "/billing",
  "a host alone": "app.test/billing",
  "a scheme left out": "//app.test/billing",
  nothing: "",
  "a script": "javascript:alert(1)//https://app.test/billing",
  "a file": "file:///billing",
  data: "data:text/html,x",
})) {
  Deno.test(`${what} is not: ${url}`, () => {
    assert.throws(() => redirectUrl(ALLOWED, url), { status: 400, code: "redirect_not_allowed" });
  });
}

Deno.test("a scheme without origins is not, even where it is allowed", () => {
  assert.throws(() => redirectUrl(["x:///a"], "x:///a"), { code: "redirect_not_allowed" });
});

Deno.test("where no URL is allowed, nothing can be sold: 503", () => {
  for (const wanted of [undefined, "https://app.test/billing"]) {
    assert.throws(() => redirectUrl([], wanted), { status: 503, code: "stripe_not_configured" });
  }
});
