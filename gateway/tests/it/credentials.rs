//! What the gateway makes of credentials: which tokens are for it, what it passes on, and what it tells
//! services and refused callers.

use futures_util::FutureExt as _;
use lightning_mesh::testing::Harness;
use lightning_proto::{
    agents::v1::{Agent, GetAgentRequest, agent_service_client::AgentServiceClient},
    auth::v1::AccessState,
};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::{
    odd::{Seen, framed, gateway_on, grpc},
    raw::Plain,
    signer::{Prover, Signer, clock, header},
};

const AGENT: &str = "/api/v1/agents/a1";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

struct Guarded {
    harness: Harness,
    seen: Seen,
    signer: Signer,
    client: Client,
    base: String,
}

impl Guarded {
    /// A gateway that believes a signer, in front of an agent and of pages of auth.
    async fn start(resources: &[(&str, &str)], proxies: bool) -> Self {
        let signer = Signer::new("k1");
        let mut state = AccessState { ..signer.state(1) };
        for (address, word) in resources {
            state.resources.insert((*address).to_owned(), (*word).to_owned());
        }
        let agent = Agent { id: "a1".into(), ..Agent::default() };
        let (harness, seen) = gateway_on(
            |builder| builder.clock(clock().0).access(Some(state)),
            |config| {
                if proxies {
                    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
                }
            },
            move |_| std::future::ready(grpc(framed(&agent), &[("grpc-status", b"0")])).boxed(),
        )
        .await;
        let base = harness.rest("gateway");
        let client = Client::builder().no_proxy().build().unwrap();
        Self { harness, seen, signer, client, base }
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.signer.token(&header("k1"), |claims| {
            claims["permissions"] = json!(["*"]);
            change(claims);
        })
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn status(&self, token: &str) -> u16 {
        let authorization = format!("Bearer {token}");
        self.get(AGENT, &[("authorization", &authorization)]).await.status().as_u16()
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused_at_the_edge() {
    let resources = [("https://api.example", "gateway"), ("https://api.example/agents", "agents")];
    let guarded = Guarded::start(&resources, false).await;
    let check = async |aud: Value, expected: u16| {
        let token = guarded.token(|claims| claims["aud"] = aud.clone());
        assert_eq!(guarded.status(&token).await, expected, "{aud}");
    };
    check(json!("lightning"), 200).await;
    check(json!("https://api.example"), 200).await;
    check(json!(["x", "https://api.example"]), 200).await;
    check(json!("https://api.example/agents"), 401).await;
    check(json!("https://other.example"), 401).await;
    assert_eq!(guarded.status(&guarded.signer.good()).await, 403, "for us, and too weak");
    let issuer = guarded.token(|claims| claims["iss"] = "http://other".into());
    assert_eq!(guarded.status(&issuer).await, 401);
    assert_eq!(guarded.seen.lock().unwrap().len(), 3, "what was refused went no further");
}

#[tokio::test]
async fn a_bound_token_is_proven_at_the_edge_and_goes_no_further() {
    let guarded = Guarded::start(&[("https://api.example/", "gateway")], false).await;
    let prover = Prover::new();
    let jkt = prover.0.thumbprint();
    let token = guarded.token(|claims| claims["cnf"] = json!({"jkt": jkt}));
    let authorization = format!("DPoP {token}");
    // Under its public name, and under the one that was used on this machine.
    for origin in ["https://api.example", &guarded.base] {
        let proof = prover.proof("GET", &format!("{origin}{AGENT}"), &token);
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        assert_eq!(guarded.get(AGENT, &headers).await.status(), 200, "{origin}");
        let again = guarded.get(AGENT, &headers).await;
        assert_eq!(again.status(), 401, "{origin}");
        let challenges = again.headers().get_all("www-authenticate").iter();
        assert!(
            challenges.into_iter().any(|it| it.to_str().unwrap().contains("invalid_dpop_proof"))
        );
    }
    let other = prover.proof("GET", &format!("https://evil.example{AGENT}"), &token);
    let headers = [("authorization", authorization.as_str()), ("dpop", other.as_str())];
    assert_eq!(guarded.get(AGENT, &headers).await.status(), 401);
    let bearer = format!("Bearer {token}");
    assert_eq!(guarded.get(AGENT, &[("authorization", &bearer)]).await.status(), 401);
    // The same over gRPC, whose requests are all POST.
    let mut grpc = AgentServiceClient::new(Plain::connect(&guarded.base).await);
    let url = format!("{}/lightning.agents.v1.AgentService/GetAgent", guarded.base);
    let mut request = tonic::Request::new(GetAgentRequest { id: "a1".into() });
    let proof = prover.proof("POST", &url, &token);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request.metadata_mut().insert("dpop", proof.parse().unwrap());
    assert_eq!(grpc.get_agent(request).await.unwrap().into_inner().id, "a1");
    let seen = guarded.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for parts in seen.iter() {
        assert!(!parts.headers.contains_key("dpop"));
        assert!(!parts.headers["authorization"].to_str().unwrap().contains(&token));
    }
}

#[tokio::test]
async fn services_are_told_where_the_client_is_in_every_protocol() {
    let check = async |proxies: bool, expected: &str| {
        let guarded = Guarded::start(&[], proxies).await;
        let authorization = format!("Bearer {}", guarded.token(|_| {}));
        let claims = [
            ("authorization", authorization.as_str()),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-lightning-address", "192.0.2.66"),
        ];
        guarded.get(AGENT, &claims).await;
        guarded.get("/oauth/userinfo", &claims).await;
        let mut grpc = AgentServiceClient::new(Plain::connect(&guarded.base).await);
        let mut request = tonic::Request::new(GetAgentRequest { id: "a1".into() });
        for (name, value) in claims {
            request.metadata_mut().append(name, value.parse().unwrap());
        }
        grpc.get_agent(request).await.unwrap();
        let seen = guarded.seen.lock().unwrap();
        assert_eq!(seen.len(), 3);
        for parts in seen.iter() {
            let told: Vec<_> = parts.headers.get_all("x-lightning-address").iter().collect();
            assert_eq!(told, [expected], "{}", parts.uri);
        }
    };
    check(false, "127.0.0.1").await;
    check(true, "192.0.2.7").await;
}

#[tokio::test]
async fn the_edge_describes_itself_and_leads_there() {
    let resources = [("https://api.example", "gateway"), ("https://api.example/agents", "agents")];
    let guarded = Guarded::start(&resources, false).await;
    let about = guarded.get(WELL_KNOWN, &[]).await;
    assert_eq!(about.headers()["content-type"], "application/json");
    let about: Value = serde_json::from_str(&about.text().await.unwrap()).unwrap();
    assert_eq!(about["resource"], "https://api.example");
    let scopes = about["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("agents.read")) && scopes.contains(&json!("models.infer")));
    let refused = guarded.get(AGENT, &[]).await;
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    let expected = format!("resource_metadata=\"https://api.example{WELL_KNOWN}\"");
    assert!(challenge.starts_with("Bearer ") && challenge.contains(&expected), "{challenge}");
    let weak = guarded.token(|claims| claims["permissions"] = json!(["x.y"]));
    let authorization = format!("Bearer {weak}");
    let refused = guarded.get(AGENT, &[("authorization", &authorization)]).await;
    assert_eq!(refused.status(), 403);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"agents.read\""), "{challenge}");
    assert_eq!(guarded.seen.lock().unwrap().len(), 0);
    assert_eq!(guarded.harness.stop().await.len(), 1);
}
