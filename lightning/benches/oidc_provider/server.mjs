// node-oidc-provider on the port of the first argument: one client with the secret of the second, JWT access
// tokens signed with ES256, everything in memory. In production mode, without its development pages.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, secret] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const resource = {
  scope: "agents.read",
  audience: "lightning",
  accessTokenFormat: "jwt",
  accessTokenTTL: 300,
  jwt: { sign: { alg: "ES256" } },
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      scope: "agents.read",
      id_token_signed_response_alg: "ES256",
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: "bench" }] },
  scopes: ["agents.read"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:lightning",
      getResourceServerInfo: () => resource,
    },
  },
});
provider.listen(Number(port), "127.0.0.1");
