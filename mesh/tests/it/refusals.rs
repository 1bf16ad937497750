//! What a refused caller is told, and where a client finds out who gives tokens.

use lightning_mesh::testing::Harness;
use serde_json::{Value, json};

use crate::{
    signer::{Signer, clock, header},
    support::{http1, rest_get, start},
};

const WHO: &str = "/api/v1/monitoring/services/who";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

async fn guarded(resources: &[(&str, &str)]) -> (Harness, Signer, String) {
    let signer = Signer::new("k1");
    let mut state = signer.state(1);
    for (address, word) in resources {
        state.resources.insert((*address).to_owned(), (*word).to_owned());
    }
    let builder = Harness::builder(&["monitoring"]).clock(clock().0).access(Some(state));
    let harness = start(builder).await;
    let base = harness.rest("monitoring");
    (harness, signer, base)
}

/// The challenges of an answer, `Bearer` first.
fn challenges(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.strip_prefix("www-authenticate: ")).collect()
}

#[tokio::test]
async fn a_refusal_says_what_was_wrong_and_where_to_go() {
    let (_harness, signer, base) = guarded(&[]).await;
    let metadata = format!("resource_metadata=\"http://localhost{WELL_KNOWN}\"");
    let check = async |headers: &str, status: &str, bearer: &[&str]| {
        let answer = rest_get(&base, WHO, headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
        let [first, second] = challenges(&answer)[..] else { panic!("{headers}: {answer}") };
        assert!(first.starts_with("Bearer realm=\"lightning\""), "{first}");
        assert!(second.starts_with("DPoP realm=\"lightning\""), "{second}");
        assert!(second.contains("algs=\"ES256 EdDSA RS256 PS256\""), "{second}");
        for part in bearer.iter().chain([&metadata.as_str()]) {
            assert!(first.contains(part), "{part}: {first}");
        }
        assert_eq!(first.contains("error="), !bearer.is_empty(), "{first}");
        assert!(!second.contains("error="), "{second}");
    };
    check("", "401", &[]).await;
    check("authorization: Bearer x\r\n", "401", &["error=\"invalid_token\""]).await;
    let expired = signer.token(&header("k1"), |claims| claims["exp"] = json!(1));
    let expired = format!("authorization: Bearer {expired}\r\n");
    check(&expired, "401", &["error=\"invalid_token\"", "has expired"]).await;
    let both = "authorization: Bearer x\r\nx-api-key: y\r\n";
    check(both, "401", &["error=\"invalid_request\""]).await;
    let weak = signer.token(&header("k1"), |claims| claims["permissions"] = json!(["x.y"]));
    let weak = format!("authorization: Bearer {weak}\r\n");
    let scope = "scope=\"monitoring.read\"";
    check(&weak, "403", &["error=\"insufficient_scope\"", scope]).await;
}

#[tokio::test]
async fn a_page_that_refuses_says_so_too_and_success_says_nothing() {
    let (_harness, signer, base) = guarded(&[]).await;
    let answer = rest_get(&base, "/dashboard/who", "authorization: Bearer x\r\n").await;
    assert!(challenges(&answer)[0].contains("invalid_token"), "{answer}");
    let good = format!("authorization: Bearer {}\r\n", signer.good());
    let answer = rest_get(&base, WHO, &good).await;
    assert!(answer.starts_with("HTTP/1.1 200") && challenges(&answer).is_empty(), "{answer}");
    let nowhere = rest_get(&base, "/api/v1/nowhere", "authorization: Bearer x\r\n").await;
    assert!(nowhere.starts_with("HTTP/1.1 404") && challenges(&nowhere).is_empty(), "{nowhere}");
}

#[tokio::test]
async fn a_token_in_the_address_is_no_credential() {
    let (_harness, signer, base) = guarded(&[]).await;
    let path = format!("{WHO}?access_token={}", signer.good());
    let answer = rest_get(&base, &path, "").await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("UNAUTHENTICATED"), "{answer}");
    let form = format!("access_token={}", signer.good());
    let answer = http1(
        &base,
        &format!(
            "GET {WHO} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        ),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn a_service_describes_itself_as_a_resource() {
    let resources =
        [("https://a.example/monitoring", "monitoring"), ("https://a.example", "gateway")];
    let (_harness, _, base) = guarded(&resources).await;
    let document = async |path: &str| {
        let answer = rest_get(&base, path, "").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].to_owned();
        (status, serde_json::from_str::<Value>(body).unwrap())
    };
    let (status, about) = document(WELL_KNOWN).await;
    assert_eq!(status, "200", "{about}");
    assert_eq!(about["resource"], "https://a.example/monitoring");
    assert_eq!(about["authorization_servers"], json!(["http://lightning"]));
    assert_eq!(about["bearer_methods_supported"], json!(["header"]));
    assert_eq!(about["dpop_signing_alg_values_supported"][0], "ES256");
    assert!(about["scopes_supported"].as_array().unwrap().contains(&json!("monitoring.read")));
    assert_eq!(document(&format!("{WELL_KNOWN}/monitoring")).await, (status, about));
    assert_eq!(document(&format!("{WELL_KNOWN}/elsewhere")).await.0, "404");
    // The challenge leads there.
    let answer = rest_get(&base, WHO, "").await;
    let expected = format!("resource_metadata=\"https://a.example{WELL_KNOWN}/monitoring\"");
    assert!(challenges(&answer)[0].contains(&expected), "{answer}");
}

#[tokio::test]
async fn before_auth_was_reached_no_resource_is_described() {
    let harness = start(Harness::builder(&["monitoring"]).access(None)).await;
    let answer = rest_get(&harness.rest("monitoring"), WELL_KNOWN, "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("AUTH_UNREACHABLE"), "{answer}");
}
