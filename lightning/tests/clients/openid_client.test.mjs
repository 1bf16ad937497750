// `openid-client` (npm), a certified relying party, in every flow that it knows.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as oidc from "openid-client";
import { UserAgent } from "./user_agent.mjs";
import { admin, authorize, codeFlow, discover, gateway, issuer, redirectUri, register } from "./world.mjs";

const refused = (code) => (error) => {
  assert.equal(error.error ?? error.cause?.error, code, String(error));
  return true;
};

test("code with PKCE, ID token, userinfo, refresh, for a public client", async () => {
  const config = await register({ token_endpoint_auth_method: "none", client_name: "public" }, oidc.None());
  const tokens = await codeFlow(config);
  const claims = tokens.claims();
  assert.equal(claims.iss, issuer.href.replace(/\/$/, ""));
  assert.equal(claims.aud, config.clientMetadata().client_id);
  const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.equal(userinfo.preferred_username, admin.username);
  const next = await oidc.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  assert.equal(next.claims().sub, claims.sub);
  await oidc.fetchUserInfo(config, next.access_token, claims.sub);
});

for (const [method, auth] of [
  ["client_secret_basic", oidc.ClientSecretBasic],
  ["client_secret_post", oidc.ClientSecretPost],
]) {
  test(`introspection and revocation with ${method}`, async () => {
    const config = await register({ token_endpoint_auth_method: method, client_name: method }, auth());
    const tokens = await codeFlow(config);
    const active = await oidc.tokenIntrospection(config, tokens.access_token);
    assert.equal(active.active, true);
    assert.equal(active.client_id, config.clientMetadata().client_id);
    await oidc.tokenRevocation(config, tokens.refresh_token);
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
    await assert.rejects(oidc.refreshTokenGrant(config, tokens.refresh_token), refused("invalid_grant"));
  });
}

test("a client registers through the gateway", async () => {
  const answer = await fetch(new URL("/oauth/register", gateway), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ redirect_uris: [redirectUri], token_endpoint_auth_method: "none" }),
  });
  assert.equal(answer.status, 201, await answer.text());
});

test("a client proves who it is, and reads the user, through the gateway", async () => {
  const config = await register({ token_endpoint_auth_method: "client_secret_basic" }, oidc.ClientSecretBasic());
  const { access_token } = await codeFlow(config);
  const userinfo = await fetch(new URL("/oauth/userinfo", gateway), {
    headers: { authorization: `Bearer ${access_token}` },
  });
  assert.equal((await userinfo.json()).preferred_username, admin.username);
  const { client_id, client_secret } = config.clientMetadata();
  const ask = (secret) =>
    fetch(new URL("/oauth/introspect", gateway), {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${client_id}:${secret}`)}` },
      body: new URLSearchParams({ token: access_token }),
    });
  assert.equal((await (await ask(client_secret)).json()).active, true);
  assert.equal((await ask("wrong")).status, 401);
  // The header in which the gateway passes a credential on is taken off what comes from outside.
  const forged = await fetch(new URL("/oauth/introspect", issuer), {
    method: "POST",
    headers: { "x-lightning-authorization": `Basic ${btoa(`${client_id}:${client_secret}`)}` },
    body: new URLSearchParams({ token: access_token }),
  });
  assert.equal(forged.status, 401);
});

test("a client that signs (private_key_jwt)", async () => {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const jwk = { ...(await crypto.subtle.exportKey("jwk", pair.publicKey)), kid: "one", use: "sig", alg: "ES256" };
  delete jwk.key_ops;
  delete jwk.ext;
  const config = await register(
    { token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [jwk] }, client_name: "signs" },
    oidc.PrivateKeyJwt({ key: pair.privateKey, kid: "one" }),
  );
  assert.ok((await codeFlow(config)).access_token);
});

test("ID tokens signed with RS256", async () => {
  const metadata = { token_endpoint_auth_method: "none", id_token_signed_response_alg: "RS256" };
  const config = await register(metadata, oidc.None());
  oidc.enableNonRepudiationChecks(config);
  const tokens = await codeFlow(config);
  assert.equal(JSON.parse(atob(tokens.id_token.split(".")[0])).alg, "RS256");
});

test("pushed authorization requests", async () => {
  const config = await register({ token_endpoint_auth_method: "client_secret_basic" }, oidc.ClientSecretBasic());
  const tokens = await codeFlow(config, {}, { build: oidc.buildAuthorizationUrlWithPAR });
  assert.ok(tokens.id_token);
});

test("answers posted as a form", async () => {
  const config = await register({ token_endpoint_auth_method: "none" }, oidc.None());
  const verifier = oidc.randomPKCECodeVerifier();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    response_mode: "form_post",
    scope: "openid",
    state: "s",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const agent = new UserAgent();
  let page = await agent.open(url);
  page = await agent.submit(page, admin);
  const isAnswer = (form) => form.action === redirectUri && "code" in form.fields;
  if (!page.forms.some(isAnswer)) page = await agent.submit(page, {}, { button: /^(allow|approve)/i });
  const { fields } = page.forms.find(isAnswer);
  const request = new Request(redirectUri, { method: "POST", body: new URLSearchParams(fields) });
  const tokens = await oidc.authorizationCodeGrant(config, request, { pkceCodeVerifier: verifier, expectedState: "s" });
  assert.ok(tokens.access_token);
});

test("tokens bound to a key (DPoP), through to the gateway", async () => {
  const config = await register({ token_endpoint_auth_method: "none" }, oidc.None());
  const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
  const tokens = await codeFlow(config, { scope: "openid offline_access agents.read" }, { options: { DPoP } });
  assert.equal(tokens.token_type, "dpop");
  const agents = new URL("/api/v1/agents", gateway);
  const answer = await oidc.fetchProtectedResource(config, tokens.access_token, agents, "GET", null, undefined, { DPoP });
  assert.equal(answer.status, 200);
  const bare = await fetch(agents, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  assert.equal(bare.status, 401);
  const next = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  assert.equal(next.token_type, "dpop");
  await assert.rejects(oidc.refreshTokenGrant(config, next.refresh_token));
});

test("a token for one service is refused by the others (resource indicators)", async () => {
  const config = await register({ token_endpoint_auth_method: "none" }, oidc.None());
  const resource = gateway.href.replace(/\/$/, "");
  const verifier = oidc.randomPKCECodeVerifier();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "agents.read",
    resource,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const callback = await authorize(url);
  const tokens = await oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier }, { resource });
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  assert.equal((await fetch(new URL("/api/v1/agents", gateway), { headers })).status, 200);
  assert.equal((await fetch(new URL("/api/v1/agents", process.env.LIGHTNING_AGENTS), { headers })).status, 401);
});

test("a device without a browser", async () => {
  const metadata = {
    token_endpoint_auth_method: "none",
    grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
    redirect_uris: [],
    response_types: [],
  };
  const config = await register(metadata, oidc.None());
  const device = await oidc.initiateDeviceAuthorization(config, { scope: "openid" });
  const agent = new UserAgent();
  let page = await agent.open(device.verification_uri);
  const agree = /^sign it in/i;
  for (let pages = 0; !page.forms.some((form) => form.buttons.some((one) => agree.test(one.text))); pages++) {
    assert.ok(pages < 4, page.html);
    const asksPassword = page.forms.some((form) => "password" in form.fields);
    page = asksPassword
      ? await agent.submit(page, admin)
      : await agent.submit(page, { user_code: device.user_code });
  }
  await agent.submit(page, {}, { button: agree });
  const tokens = await oidc.pollDeviceAuthorizationGrant(config, device);
  assert.ok(tokens.access_token && tokens.claims().sub);
});

test("logging out at the provider (RP-initiated logout)", async () => {
  const after = "http://127.0.0.1:9/goodbye";
  const metadata = { token_endpoint_auth_method: "none", post_logout_redirect_uris: [after] };
  const config = await register(metadata, oidc.None());
  const agent = new UserAgent();
  const tokens = await codeFlow(config, { scope: "openid" }, { agent });
  const url = oidc.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: after,
    state: "bye",
  });
  const page = await agent.open(url, { stop: (target) => target.href.startsWith(after) });
  assert.equal(page.url.searchParams.get("state"), "bye");
  const silent = new URL(oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid",
    prompt: "none",
    code_challenge: await oidc.calculatePKCECodeChallenge("x".repeat(43)),
    code_challenge_method: "S256",
  }));
  const answer = await agent.open(silent, { stop: (target) => target.href.startsWith(redirectUri) });
  assert.equal(answer.url.searchParams.get("error"), "login_required");
});

test("a code works once, and its tokens end with the second use", async () => {
  const config = await register({ token_endpoint_auth_method: "client_secret_basic" }, oidc.ClientSecretBasic());
  const verifier = oidc.randomPKCECodeVerifier();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const callback = await authorize(url);
  const tokens = await oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier });
  await assert.rejects(oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier }), refused("invalid_grant"));
  assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
});

test("the discovered client of the command line", async () => {
  const config = await discover("lightning", undefined, oidc.None());
  assert.ok(config.serverMetadata().supportsPKCE("S256"));
  assert.equal(config.serverMetadata().authorization_response_iss_parameter_supported, true);
});
