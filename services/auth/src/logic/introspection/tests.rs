//! Who learns what of a token, and whose tokens one can take back.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;

use super::{Auth, Worth};
use crate::{
    Config,
    domain::{
        UserId,
        clients::{Client, ClientAuth},
        permissions::Role,
        principals::{Authentication, Principal, Subject},
        sessions::{RefreshToken, Session, Terms},
        users::Draft,
    },
    logic::keys::tests::{close, open},
    signing::AccessToken,
};

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn client(id: &str) -> Client {
    Client { id: id.to_owned(), auth: ClientAuth::SecretBasic, first_party: false, ..Client::own() }
}

/// A user, and a session of theirs with an application.
async fn session(auth: &Auth, name: &str, client_id: &str) -> (Session, RefreshToken) {
    let draft = Draft::try_new(name, "ada@example.com", "Ada", Vec::new()).unwrap();
    let user = draft.into_user(
        UserId::generate(),
        "default".to_owned(),
        vec![Role::Viewer],
        auth.clock.now(),
    );
    assert!(auth.store.insert_first_user(&user, "hash").await.unwrap());
    let now = auth.clock.now();
    let terms = Terms {
        authentication: Authentication::new(&["pwd"], now),
        claims: Some(r#"{"userinfo":{"email":null}}"#.to_owned()),
        ..Terms::default()
    };
    let scopes = vec!["openid".to_owned(), "profile".to_owned()];
    let begun = Session::begin(user.id, client_id.to_owned(), scopes, terms, auth.lifetime(), now);
    auth.store.insert_session(&begun.0).await.unwrap();
    begun
}

fn token(auth: &Auth, session: Option<&Session>, client_id: &str, audiences: &[String]) -> String {
    let subject = match session {
        Some(session) => Subject::User(session.user_id.to_string()),
        None => Subject::Client(client_id.to_owned()),
    };
    let principal = Principal {
        subject,
        name: "Ada".to_owned(),
        organization_id: "default".to_owned(),
        roles: Vec::new(),
        groups: Vec::new(),
        permissions: Vec::new(),
    };
    let token = AccessToken {
        audiences,
        session_id: session.map(|session| session.id.as_str()),
        scope: "openid profile".to_owned(),
        ..AccessToken::new(&principal, &[], client_id)
    };
    auth.signing.access_token(&token, auth.clock.now()).unwrap()
}

async fn is_known(auth: &Auth, client: &Client, token: &str) -> bool {
    !matches!(auth.introspect(client, token).await.unwrap(), Worth::Nothing)
}

#[tokio::test]
async fn a_token_is_shown_to_its_client_its_audience_and_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, hand) = open(folder.path(), Config::default(), START).await.unwrap();
    let (session, refresh) = session(&auth, "ada", "app").await;
    let access = token(&auth, Some(&session), "app", &[]);
    let for_api = token(&auth, Some(&session), "app", &["api".to_owned()]);
    let own = Client { first_party: true, ..client("console") };
    let foreign = Client { organization_id: "acme".to_owned(), ..client("api") };
    let refresh = refresh.expose();
    // G15: a client, a token, whether it learns of it.
    let check = async |client: &Client, token: &str, expected: bool| {
        assert_eq!(is_known(&auth, client, token).await, expected, "{}: {token}", client.id);
    };
    check(&client("app"), &access, true).await;
    check(&client("app"), &for_api, true).await;
    check(&client("app"), &refresh, true).await;
    check(&client("api"), &access, false).await;
    check(&client("api"), &for_api, true).await;
    check(&client("api"), &refresh, false).await;
    check(&client("other"), &for_api, false).await;
    check(&foreign, &for_api, false).await;
    check(&own, &access, true).await;
    check(&own, &for_api, false).await;
    check(&own, &refresh, false).await;
    for nonsense in ["", "x", "a.b.c", "lrt_", "lrt_AAAA", "lk_x"] {
        check(&client("app"), nonsense, false).await;
    }
    hand.advance(Duration::from_mins(5));
    check(&client("app"), &access, false).await;
    check(&client("app"), &refresh, true).await;
    close(auth).await;
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_its_session_and_all_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    let app = client("app");
    let (session, refresh) = session(&auth, "ada", "app").await;
    let refresh = refresh.expose();
    let access = token(&auth, Some(&session), "app", &[]);
    // G16: another client's word counts for nothing.
    auth.revoke(&client("other"), &refresh, None).await.unwrap();
    auth.revoke(&client("other"), &access, None).await.unwrap();
    assert!(is_known(&auth, &app, &access).await && is_known(&auth, &app, &refresh).await);
    auth.revoke(&app, &refresh, None).await.unwrap();
    assert!(!is_known(&auth, &app, &access).await && !is_known(&auth, &app, &refresh).await);
    let told = auth.access.watch().borrow().clone();
    assert_eq!(told.revoked, [session.id.as_str()]);
    // Once more, and what was never a token: no error.
    for token in [refresh.as_str(), "x", "a.b.c"] {
        auth.revoke(&app, token, None).await.unwrap();
    }
    close(auth).await;
}

#[tokio::test]
async fn a_revoked_access_token_dies_alone_and_is_told_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, hand) = open(folder.path(), Config::default(), START).await.unwrap();
    let app = client("app");
    let (one, two) = (token(&auth, None, "app", &[]), token(&auth, None, "app", &[]));
    let claims = auth.read_access_token(&one).unwrap();
    let before = auth.access.watch().borrow().revision;
    auth.revoke(&app, &one, None).await.unwrap();
    assert!(!is_known(&auth, &app, &one).await && is_known(&auth, &app, &two).await);
    let told = auth.access.watch().borrow().clone();
    assert_eq!(told.revoked_tokens, [claims.jti.as_str()]);
    assert!(told.revision > before);
    hand.advance(Duration::from_mins(5));
    auth.access.refresh().await.unwrap();
    assert!(auth.access.watch().borrow().revoked_tokens.is_empty());
    auth.store.forget(auth.clock.now(), Duration::from_hours(24)).await.unwrap();
    close(auth).await;
}

#[tokio::test]
async fn user_info_follows_scopes_wishes_and_the_user_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let (auth, _) = open(folder.path(), Config::default(), START).await.unwrap();
    let (session, _) = session(&auth, "ada", "app").await;
    let claims = auth.read_access_token(&token(&auth, Some(&session), "app", &[])).unwrap();
    let info = auth.user_info(&claims).await.unwrap().unwrap();
    assert_eq!(info["sub"], session.user_id.as_str());
    assert_eq!(info["name"], "Ada");
    // Named by the `claims` parameter, not by a scope.
    assert_eq!(info["email"], "ada@example.com");
    assert!(!info.contains_key("groups") && !info.contains_key("org_id"));
    let program = auth.read_access_token(&token(&auth, None, "app", &[])).unwrap();
    assert_eq!(auth.user_info(&program).await.unwrap(), None);
    close(auth).await;
}
