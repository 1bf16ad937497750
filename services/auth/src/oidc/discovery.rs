//! The metadata of the issuer (OpenID Connect Discovery section 3, RFC 8414): what is served, and nothing
//! else.
//!
//! One document serves both well-known addresses, so that they cannot differ. An endpoint is a line of
//! [`ENDPOINTS`]; what hangs on one is told only if it is there. Every address is below the configured
//! issuer: the `Host` of a request decides nothing.

use serde_json::{Map, Value, json};

use crate::{
    contract,
    domain::{
        clients::{DEVICE_CODE, GRANT_TYPES, OIDC_SCOPES},
        principals::CLASSES,
    },
    logic::claims::CLAIMS,
};

/// The endpoints that are served: the name in the metadata and the path.
const ENDPOINTS: &[(&str, &str)] = &[
    ("authorization_endpoint", "/oauth/authorize"),
    ("device_authorization_endpoint", "/oauth/device_authorization"),
    ("end_session_endpoint", "/oauth/logout"),
    ("introspection_endpoint", "/oauth/introspect"),
    ("jwks_uri", "/.well-known/jwks.json"),
    ("pushed_authorization_request_endpoint", "/oauth/par"),
    ("registration_endpoint", "/oauth/register"),
    ("revocation_endpoint", "/oauth/revoke"),
    ("token_endpoint", "/oauth/token"),
    ("userinfo_endpoint", "/oauth/userinfo"),
];

/// How clients prove who they are.
const CLIENT_AUTH: [&str; 4] =
    ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
/// How a client that asks about tokens proves who it is: it must be able to.
const CONFIDENTIAL: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// The algorithms of `private_key_jwt`.
const ASSERTION_ALGS: [&str; 4] = ["ES256", "EdDSA", "PS256", "RS256"];
/// The algorithms of proofs of possession (RFC 9449).
const DPOP_ALGS: [&str; 4] = ["ES256", "EdDSA", "PS256", "RS256"];

/// The metadata of an issuer.
pub(crate) fn metadata(issuer: &str) -> Value {
    let has = |name: &str| ENDPOINTS.iter().any(|(known, _)| *known == name);
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| {
        document.insert(name.to_owned(), value);
    };
    put("issuer", json!(issuer));
    for (name, path) in ENDPOINTS {
        put(name, json!(format!("{issuer}{path}")));
    }
    let scopes = OIDC_SCOPES.iter().map(|&scope| scope.to_owned());
    let scopes: Vec<String> = scopes.chain(contract::permissions().iter().cloned()).collect();
    put("scopes_supported", json!(scopes));
    put("claims_supported", json!(CLAIMS));
    put("claim_types_supported", json!(["normal"]));
    put("claims_parameter_supported", json!(true));
    put("subject_types_supported", json!(["public"]));
    put("id_token_signing_alg_values_supported", json!(["RS256", "ES256"]));
    put("acr_values_supported", json!(CLASSES));
    put("introspection_endpoint_auth_methods_supported", json!(CONFIDENTIAL));
    put("introspection_endpoint_auth_signing_alg_values_supported", json!(ASSERTION_ALGS));
    put("revocation_endpoint_auth_methods_supported", json!(CLIENT_AUTH));
    put("revocation_endpoint_auth_signing_alg_values_supported", json!(ASSERTION_ALGS));
    if has("authorization_endpoint") {
        put("response_types_supported", json!(["code"]));
        put("response_modes_supported", json!(["query", "form_post"]));
        put("code_challenge_methods_supported", json!(["S256"]));
        put("prompt_values_supported", json!(["none", "login", "consent", "select_account"]));
        put("authorization_response_iss_parameter_supported", json!(true));
        put("request_parameter_supported", json!(false));
        put("request_uri_parameter_supported", json!(false));
    }
    if has("pushed_authorization_request_endpoint") {
        put("require_pushed_authorization_requests", json!(false));
    }
    if has("end_session_endpoint") {
        put("backchannel_logout_supported", json!(true));
        put("backchannel_logout_session_supported", json!(true));
        put("frontchannel_logout_supported", json!(false));
    }
    if has("token_endpoint") {
        let has_devices = has("device_authorization_endpoint");
        let is_served = |grant: &&str| has_devices || *grant != DEVICE_CODE;
        let grants: Vec<&str> = GRANT_TYPES.into_iter().filter(is_served).collect();
        put("grant_types_supported", json!(grants));
        put("token_endpoint_auth_methods_supported", json!(CLIENT_AUTH));
        put("token_endpoint_auth_signing_alg_values_supported", json!(ASSERTION_ALGS));
        put("dpop_signing_alg_values_supported", json!(DPOP_ALGS));
    }
    Value::Object(document)
}
