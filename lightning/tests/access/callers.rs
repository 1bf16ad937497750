//! A mesh of the real services in this process that believes the test's own signer, and everybody who
//! calls it.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lightning_mesh::{clock::Clock, testing::Harness};
use lightning_proto::auth::v1::AccessState;
use lightning_store::Settings;
use lightning_transcode::{Options, Routes, RoutesBuilder};
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;

/// Longer than anything takes on a loaded machine; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVICES: [&str; 8] =
    ["gateway", "agents", "enhanced", "workflows", "integrations", "models", "auth", "monitoring"];
/// Areas that admins alone hold something of.
const GUARDED: [&str; 7] =
    ["audit", "auth", "clients", "gateway", "keys", "organizations", "policies"];
/// Areas that concern the whole installation: nobody outside of the operator's organisation holds
/// anything of them.
const OPERATOR: [&str; 4] = ["gateway", "keys", "monitoring", "organizations"];

const ISSUER: &str = "http://issuer.test";
const AUDIENCE: &str = "lightning";

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Without a token.
    Nobody,
    /// An admin whose token has expired.
    Expired,
    /// An admin with a token for somebody else.
    WrongAudience,
    /// An admin of another organisation.
    Tenant,
    Admin,
    Developer,
    Analyst,
    Viewer,
}

/// The mesh.
pub(crate) struct Rig {
    harness: Harness,
    pub(crate) client: Client,
    tokens: Vec<(Who, String)>,
    _data: TempDir,
}

/// All routes of the contract.
pub(crate) fn routes() -> Routes {
    let mut builder = RoutesBuilder::new(lightning_proto::pool().clone(), Options::default());
    builder.add_all();
    builder.build().unwrap()
}

// === impl Who ===

impl Who {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Expired,
        Self::WrongAudience,
        Self::Tenant,
        Self::Admin,
        Self::Developer,
        Self::Analyst,
        Self::Viewer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no token",
            Self::Expired => "expired token",
            Self::WrongAudience => "wrong audience",
            Self::Tenant => "other tenant",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Analyst => "analyst",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role holds a permission, as `services/auth` documents its roles.
    pub(crate) fn holds(self, permission: &str) -> bool {
        let (area, verb) = permission.split_once('.').unwrap_or((permission, ""));
        let guarded = GUARDED.contains(&area);
        let reads = area == "account" || verb == "read" && !guarded;
        match self {
            Self::Nobody => false,
            Self::Tenant => !OPERATOR.contains(&area),
            Self::Expired | Self::WrongAudience | Self::Admin => true,
            Self::Developer => !guarded,
            Self::Analyst => reads || matches!(verb, "invoke" | "execute" | "infer") && !guarded,
            Self::Viewer => reads,
        }
    }

    fn permissions(self) -> Vec<String> {
        let pool = lightning_proto::pool();
        let option = pool.get_extension_by_name("lightning.options.v1.permission").unwrap();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let mut all: Vec<String> = methods
            .map(|method| method.options().get_extension(&option).as_str().unwrap_or("").to_owned())
            .filter(|permission| permission.contains('.') && self.holds(permission))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

// === impl Rig ===

impl Rig {
    pub(crate) async fn start() -> Self {
        let (key, jwks) = signer();
        let tokens = Who::ALL.into_iter().filter(|who| *who != Who::Nobody);
        let tokens = tokens.map(|who| (who, token(who, &key))).collect();
        let access = AccessState {
            revision: 1,
            open: false,
            issuer: ISSUER.to_owned(),
            jwks,
            ..AccessState::default()
        };
        let data = TempDir::new().unwrap();
        let store = Settings { data_dir: data.path().to_owned(), ..Settings::default() };
        let mut harness = Harness::builder(&SERVICES).access(Some(access)).start();
        for word in SERVICES {
            let context = harness.context(word);
            let gateway = lightning_gateway::Config { limits: Vec::new(), ..Default::default() };
            let own = context.clone();
            let service = match word {
                "gateway" => lightning_gateway::open(gateway, &store, own).await.unwrap(),
                "agents" => lightning_agents::open(Default::default(), &store, own).await.unwrap(),
                "enhanced" => {
                    lightning_enhanced::open(Default::default(), &store, own).await.unwrap()
                }
                "workflows" => {
                    lightning_workflows::open(Default::default(), &store, own).await.unwrap()
                }
                "integrations" => {
                    lightning_integrations::open(Default::default(), &store, own).await.unwrap()
                }
                "models" => lightning_models::open(Default::default(), &store, own).await.unwrap(),
                "auth" => lightning_auth::open(Default::default(), &store, own).await.unwrap(),
                "monitoring" => {
                    lightning_monitoring::open(Default::default(), &store, own).await.unwrap()
                }
                other => panic!("{other} is no service"),
            };
            harness.serve(service, &context).await.unwrap();
        }
        let client = Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { harness, client, tokens, _data: data }
    }

    /// `http://host:port` of a service.
    pub(crate) fn base(&self, word: &str) -> String {
        self.harness.rest(word)
    }

    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        self.tokens.iter().find(|(other, _)| *other == who).map(|(_, token)| token.as_str())
    }

    /// The status and the text of an answer.
    pub(crate) async fn get(&self, word: &str, who: Who, path: &str) -> (u16, String) {
        let request = self.client.get(format!("{}{path}", self.base(word)));
        let request = request.bearer_auth(self.token(who).unwrap());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

fn signer() -> (EncodingKey, String) {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let document = document.unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref());
    let pair = pair.unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k",
        "x": x, "y": y });
    (EncodingKey::from_ec_der(document.as_ref()), json!({ "keys": [jwk] }).to_string())
}

fn token(who: Who, key: &EncodingKey) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some("k".to_owned());
    let now = Clock::system().now().as_seconds();
    let expires = if who == Who::Expired { now - 3_600 } else { now + 3_600 };
    let claims = json!({
        "iss": ISSUER,
        "aud": [if who == Who::WrongAudience { "somebody.else" } else { AUDIENCE }],
        "sub": format!("test-{}", who.name().replace(' ', "-")),
        "name": who.name(),
        "org_id": if who == Who::Tenant { "other" } else { "default" },
        "roles": [who.name()],
        "permissions": who.permissions(),
        "client_id": "test",
        "jti": format!("j-{}", who.name().replace(' ', "-")),
        "iat": expires - 7_200,
        "nbf": expires - 7_200,
        "exp": expires,
    });
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}
