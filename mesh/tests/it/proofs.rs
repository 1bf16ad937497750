//! Tokens that are bound to a key (RFC 9449), at the port of a service.

use std::time::Duration;

use lightning_mesh::{clock::ManualClock, testing::Harness};
use serde_json::{Value, json};

use crate::{
    identity::call,
    signer::{NOW, Prover, Signer, clock, header},
    support::{reason, rest_get, start},
};

const WHO: &str = "/api/v1/monitoring/services/who";
const RPC: &str = "/lightning.monitoring.v1.MonitoringService/GetService";

struct Bound {
    harness: Harness,
    hand: ManualClock,
    signer: Signer,
    prover: Prover,
    token: String,
    base: String,
}

impl Bound {
    /// A service, a client and a token that is bound to the client's key.
    async fn start(resources: &[(&str, &str)]) -> Self {
        let (signer, prover) = (Signer::new("k1"), Prover::new());
        let mut state = signer.state(1);
        for (address, word) in resources {
            state.resources.insert((*address).to_owned(), (*word).to_owned());
        }
        let (clock, hand) = clock();
        let builder = Harness::builder(&["monitoring"]).clock(clock).access(Some(state));
        let harness = start(builder).await;
        let jkt = prover.0.thumbprint();
        let token = signer.token(&header("k1"), |claims| claims["cnf"] = json!({"jkt": jkt}));
        let base = harness.rest("monitoring");
        Self { harness, hand, signer, prover, token, base }
    }

    fn proof(&self) -> String {
        self.prover.proof("GET", &format!("http://localhost{WHO}"), &self.token)
    }

    fn proof_but(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let url = format!("http://localhost{WHO}");
        self.prover.proof_but("GET", &url, &self.token, change)
    }

    /// The answer to a GET with this proof.
    async fn get(&self, proof: &str) -> String {
        let headers = format!("authorization: DPoP {}\r\ndpop: {proof}\r\n", self.token);
        rest_get(&self.base, WHO, &headers).await
    }
}

#[track_caller]
fn refused(answer: &str, reason: &str, challenge: &str) {
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains(reason) && answer.contains(challenge), "{answer}");
    assert!(answer.contains("www-authenticate: DPoP "), "{answer}");
}

#[tokio::test]
async fn a_bound_token_passes_with_a_proof_in_every_protocol() {
    let bound = Bound::start(&[]).await;
    assert!(bound.get(&bound.proof()).await.starts_with("HTTP/1.1 200"));
    let url = format!("{}{RPC}", bound.base);
    for _ in 0..2 {
        let proof = bound.prover.proof("POST", &url, &bound.token);
        let authorization = format!("dpop {}", bound.token);
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        assert_eq!(call(&bound.base, &headers).await.unwrap(), "user:u1");
        let again = call(&bound.base, &headers).await.unwrap_err();
        assert_eq!(reason(&again), "DPOP_PROOF_INVALID");
    }
    // A page that asks the gate itself.
    let proof = bound.prover.proof("GET", "http://localhost/dashboard/who", &bound.token);
    let headers = format!("authorization: DPoP {}\r\ndpop: {proof}\r\n", bound.token);
    assert!(rest_get(&bound.base, "/dashboard/who", &headers).await.ends_with("user:u1"));
}

#[tokio::test]
async fn a_proof_for_anything_else_is_refused() {
    let bound = Bound::start(&[]).await;
    let check = async |change: &dyn Fn(&mut Value, &mut Value)| {
        let answer = bound.get(&bound.proof_but(change)).await;
        refused(&answer, "DPOP_PROOF_INVALID", "error=\"invalid_dpop_proof\"");
    };
    check(&|_, claims| claims["htm"] = "POST".into()).await;
    check(&|_, claims| claims["htu"] = "http://localhost/api/v1/other".into()).await;
    check(&|_, claims| claims["htu"] = format!("http://other.example{WHO}").into()).await;
    check(&|_, claims| claims["htu"] = format!("https://localhost{WHO}").into()).await;
    check(&|_, claims| claims["iat"] = (NOW - 61).into()).await;
    check(&|_, claims| claims["iat"] = (NOW + 11).into()).await;
    check(&|_, claims| claims["ath"] = Value::Null).await;
    check(&|_, claims| claims["ath"] = "AAAA".into()).await;
    check(&|_, claims| claims["jti"] = Value::Null).await;
    check(&|header, _| header["typ"] = "JWT".into()).await;
    check(&|header, _| header["alg"] = "none".into()).await;
    check(&|header, _| header["jwk"]["d"] = "AAAA".into()).await;
    check(&|header, _| header["jwk"] = Prover::new().0.jwk()).await;
    // Sound in itself, but of another key than the token's.
    let url = format!("http://localhost{WHO}");
    let answer = bound.get(&Prover::new().proof("GET", &url, &bound.token)).await;
    refused(&answer, "DPOP_PROOF_INVALID", "another key");
    // None at all, and two.
    let authorization = format!("authorization: DPoP {}\r\n", bound.token);
    refused(&rest_get(&bound.base, WHO, &authorization).await, "DPOP_PROOF_INVALID", "one DPoP");
    let two = format!("{authorization}dpop: {}\r\ndpop: {}\r\n", bound.proof(), bound.proof());
    refused(&rest_get(&bound.base, WHO, &two).await, "DPOP_PROOF_INVALID", "one DPoP");
    assert!(bound.get(&bound.proof()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_proof_is_good_once_and_not_for_long() {
    let bound = Bound::start(&[]).await;
    let (proof, kept) = (bound.proof(), bound.proof());
    assert!(bound.get(&proof).await.starts_with("HTTP/1.1 200"));
    refused(&bound.get(&proof).await, "DPOP_PROOF_INVALID", "was used before");
    bound.hand.advance(Duration::from_secs(61));
    refused(&bound.get(&kept).await, "DPOP_PROOF_INVALID", "make a new proof");
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token_and_a_plain_one_needs_no_proof() {
    let bound = Bound::start(&[]).await;
    for proof in ["", &format!("dpop: {}\r\n", bound.proof())] {
        let headers = format!("authorization: Bearer {}\r\n{proof}", bound.token);
        refused(&rest_get(&bound.base, WHO, &headers).await, "TOKEN_BOUND", "invalid_token");
        let headers = format!("x-api-key: {}\r\n{proof}", bound.token);
        refused(&rest_get(&bound.base, WHO, &headers).await, "TOKEN_BOUND", "invalid_token");
    }
    // The scheme promises a binding that a plain token does not have.
    let plain = bound.signer.good();
    let proof = bound.prover.proof("GET", &format!("http://localhost{WHO}"), &plain);
    let headers = format!("authorization: DPoP {plain}\r\ndpop: {proof}\r\n");
    refused(&rest_get(&bound.base, WHO, &headers).await, "TOKEN_INVALID", "invalid_token");
    let headers = "authorization: DPoP lk_good\r\n";
    let answer = rest_get(&bound.base, WHO, headers).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(bound.harness.stop().await.len() == 1);
}

#[tokio::test]
async fn a_proof_for_somebody_elses_host_is_refused_here() {
    let ours = [("https://api.example/monitoring", "monitoring")];
    let bound = Bound::start(&ours).await;
    let check = async |host: &str, htu: &str, expected: &str| {
        let proof = bound.prover.proof("GET", &format!("{htu}{WHO}"), &bound.token);
        let request = format!(
            "GET {WHO} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             authorization: DPoP {}\r\ndpop: {proof}\r\n\r\n",
            bound.token
        );
        let answer = crate::support::http1(&bound.base, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{host} {htu}: {answer}");
    };
    check("api.example", "https://api.example", "200").await;
    check("inside:8051", "https://api.example", "200").await;
    check("inside:8051", "https://api.example/monitoring", "200").await;
    check("evil.example", "http://evil.example", "401").await;
    check("localhost:8051", "http://localhost:8051", "200").await;
}
