// `oidc-client-ts` (npm) in a real browser: a page with nothing but that library logs in, refreshes in the
// background, reads the user, and logs out. Its pages come from a loopback server of this test.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import puppeteer from "puppeteer-core";
import { admin, issuer } from "./world.mjs";

const library = new URL("node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js", import.meta.url);
const page = await readFile(new URL("relying_party.html", import.meta.url));
const script = await readFile(library);

function serve() {
  const server = createServer((request, response) => {
    const isScript = request.url.startsWith("/oidc-client-ts.js");
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : page);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function register(origin) {
  const discovered = await (await fetch(new URL("/.well-known/openid-configuration", issuer))).json();
  const answer = await fetch(discovered.registration_endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      client_name: "single page",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${origin}/callback`, `${origin}/silent`],
      post_logout_redirect_uris: [`${origin}/goodbye`],
    }),
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  return (await answer.json()).client_id;
}

test("a single-page application in Chromium", { timeout: 120_000 }, async () => {
  const server = await serve();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await puppeteer.launch({
    executablePath: process.env.LIGHTNING_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  try {
    const id = await register(origin);
    const tab = await browser.newPage();
    const faults = [];
    tab.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    tab.on("pageerror", (error) => faults.push(String(error)));
    const settings = new URLSearchParams({ authority: issuer.href.replace(/\/$/, ""), client_id: id });
    await tab.goto(`${origin}/?${settings}`);
    await Promise.all([tab.waitForNavigation(), tab.click("#login")]);
    await tab.waitForSelector("input[name=password]");
    await tab.type("input[name=username]", admin.username);
    await tab.type("input[name=password]", admin.password);
    await Promise.all([tab.waitForNavigation(), tab.keyboard.press("Enter")]);
    if (new URL(tab.url()).origin !== origin) {
      const [allow] = await tab.$$("xpath/.//button[starts-with(normalize-space(.), 'Allow') or starts-with(normalize-space(.), 'Approve')]");
      await Promise.all([tab.waitForNavigation(), allow.click()]);
    }
    const signedIn = await tab.waitForSelector("#user[data-sub]");
    const name = await signedIn.evaluate((element) => element.textContent);
    assert.equal(name, admin.username);
    const before = await tab.$eval("#user", (element) => element.dataset.token);
    await tab.click("#refresh");
    await tab.waitForFunction((old) => document.querySelector("#user").dataset.token !== old, {}, before);
    await Promise.all([tab.waitForNavigation(), tab.click("#logout")]);
    await tab.waitForFunction((prefix) => location.href.startsWith(prefix), {}, `${origin}/goodbye`);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    server.close();
  }
});
