// The mesh under test, as the environment describes it, and a person who logs in there.
import * as oidc from "openid-client";
import { UserAgent } from "./user_agent.mjs";

const needed = (name) => {
  if (!process.env[name]) throw new Error(`${name} is not set; run make test-clients`);
  return process.env[name];
};

/** The issuer, at auth's own port. */
export const issuer = new URL(needed("LIGHTNING_ISSUER"));
/** The gateway. */
export const gateway = new URL(needed("LIGHTNING_GATEWAY"));
/** The first admin. */
export const admin = { username: needed("LIGHTNING_ADMIN"), password: needed("LIGHTNING_ADMIN_PASSWORD") };
/** Where clients of these tests are called back; nothing listens there. */
export const redirectUri = "http://127.0.0.1:9/callback";

const http = { execute: [oidc.allowInsecureRequests] };

/** Registers a client by itself (RFC 7591) and answers its configuration. */
export async function register(metadata, auth, options = {}) {
  return oidc.dynamicClientRegistration(
    issuer,
    { redirect_uris: [redirectUri], grant_types: ["authorization_code", "refresh_token"], ...metadata },
    auth,
    { ...http, ...options },
  );
}

/** The configuration of a client that exists. */
export const discover = (id, metadata, auth) => oidc.discovery(issuer, id, metadata, auth, http);

/** Follows an authorization URL as `admin` does: logs in and agrees where asked. Answers the callback. */
export async function authorize(url, agent = new UserAgent()) {
  const stop = (target) => target.href.startsWith(redirectUri);
  let page = await agent.open(url, { stop });
  for (let pages = 0; !page.stopped; pages++) {
    if (pages > 4) throw new Error(`stuck at ${page.url}:\n${page.html}`);
    const asksPassword = page.forms.some((form) => "password" in form.fields && "username" in form.fields);
    page = asksPassword
      ? await agent.submit(page, admin, { stop })
      : await agent.submit(page, {}, { button: /^(allow|approve)/i, stop });
  }
  return page.url;
}

/** The whole code flow. Answers the tokens. */
export async function codeFlow(config, parameters = {}, { agent, options, build } = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const request = {
    redirect_uri: redirectUri,
    scope: "openid profile email offline_access",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...parameters,
  };
  const url = await (build ?? oidc.buildAuthorizationUrl)(config, request, options);
  const callback = await authorize(url, agent);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  return oidc.authorizationCodeGrant(config, callback, checks, undefined, options);
}
