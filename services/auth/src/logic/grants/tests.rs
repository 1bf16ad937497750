//! Codes and refresh tokens that a hundred use at once: exactly one thing comes of it, round after round.
//!
//! Rows A5 and G2 of the attacks, on the logic and the database without HTTP in between. On PostgreSQL too
//! when `LIGHTNING_TEST_POSTGRES_URL` names a server whose schema `auth` may be dropped. There are 50
//! rounds, or as many as `LIGHTNING_TEST_ROUNDS` says: a thousand take three minutes.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::HeaderMap;
use lightning_mesh::{
    clock::{Clock, Timestamp},
    config::Secret,
    identity::Caller,
    testing::Harness,
};
use lightning_store::{Database, Settings, params};

use super::{Auth, Form};
use crate::{
    Config, NewUser,
    audit::Audit,
    domain::{
        UserId,
        codes::{Code, Demand, challenge_of},
        principals::Authentication,
        sessions::{Session, Terms},
    },
    logic::{sessions::Tokens, users},
    oidc::error::OauthResult,
    store::Store,
};

const AT_ONCE: usize = 100;
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1/callback";

struct World {
    auth: Arc<Auth>,
    store: Store,
    user: UserId,
    clock: Clock,
    _harness: Harness,
}

async fn world(folder: &Path, settings: &Settings, config: Config) -> World {
    let (clock, _) = Clock::manual(Clock::system().now());
    let store = Store::open(settings).await.unwrap();
    let ada = NewUser {
        username: "ada".to_owned(),
        email: String::new(),
        password: Secret::new("correct mule battery"),
        roles: Vec::new(),
        organization: None,
    };
    let user = users::create(&store, &clock, ada).await.unwrap();
    // Nobody asks the agents service here.
    let harness = Harness::new(&["auth"]);
    let context = harness.context("auth");
    let audit = Audit::open(store.clone(), clock.clone(), context.shutdown().clone());
    let audit = audit.await.unwrap();
    let agents = harness.channel("agents");
    let auth = Auth::open(config, store.clone(), clock.clone(), folder, agents, audit);
    let auth = Arc::new(auth.await.unwrap());
    World { auth, store, user, clock, _harness: harness }
}

fn rounds() -> usize {
    let said = std::env::var("LIGHTNING_TEST_ROUNDS").ok();
    said.map_or(50, |text| text.parse().expect("a number of rounds"))
}

fn strict() -> Config {
    Config { refresh_grace: Duration::ZERO, ..Config::default() }
}

async fn on_sqlite(config: Config) -> (tempfile::TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let world = world(folder.path(), &settings, config).await;
    (folder, world)
}

impl World {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn session(&self) -> (Session, String) {
        let terms =
            Terms { authentication: Authentication::new(&["pwd"], self.now()), ..Terms::default() };
        let (user, lifetime) = (self.user.clone(), self.auth.lifetime());
        let (session, token) =
            Session::begin(user, String::new(), Vec::new(), terms, lifetime, self.now());
        self.store.insert_session(&session).await.unwrap();
        (session, token.expose())
    }

    async fn code(&self, agreed: &Session) -> String {
        let demand = Demand {
            client_id: "lightning".to_owned(),
            redirect_uri: REDIRECT.to_owned(),
            challenge: challenge_of(VERIFIER),
            scopes: Vec::new(),
            state: String::new(),
        };
        let (user, session, terms) = (self.user.clone(), agreed.id.clone(), agreed.terms.clone());
        let (code, text) = Code::give(&demand, user, session, Vec::new(), terms, self.now());
        self.store.insert_code(&code).await.unwrap();
        text
    }

    async fn ask(&self, form: &Form) -> OauthResult<Tokens> {
        self.auth.issue(&HeaderMap::new(), form, None, &[]).await
    }

    /// The refresh tokens that many get who ask the same at once; `None` for those who were refused.
    async fn all_at_once(&self, form: &Form) -> Vec<Option<String>> {
        let answers = join_all((0..AT_ONCE).map(|_| self.ask(form))).await;
        answers
            .into_iter()
            .map(|answer| match answer {
                Ok(tokens) => Some(tokens.refresh_token),
                Err(error) => {
                    assert_eq!(error.code, "invalid_grant", "{error:?}");
                    None
                }
            })
            .collect()
    }
}

fn refresh(token: &str) -> Form {
    let fields =
        [("grant_type", "refresh_token"), ("client_id", "lightning"), ("refresh_token", token)];
    Form::of(fields).unwrap()
}

fn exchange(code: &str) -> Form {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "lightning"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    Form::of(fields).unwrap()
}

async fn codes(world: &World) {
    let (agreed, _) = world.session().await;
    for round in 0..rounds() {
        let code = world.code(&agreed).await;
        let answers = world.all_at_once(&exchange(&code)).await;
        let given: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(given.len(), 1, "round {round}");
        // The others showed that it was stolen, so what came of it is dead.
        assert!(world.ask(&refresh(&given[0])).await.is_err(), "round {round}");
    }
}

async fn refreshes(world: &World) {
    let (_, mut token) = world.session().await;
    for round in 0..rounds() {
        let answers = world.all_at_once(&refresh(&token)).await;
        assert!(answers.iter().all(Option::is_some), "round {round}");
        let distinct: HashSet<_> = answers.into_iter().flatten().collect();
        assert_eq!(distinct.len(), 1, "round {round}");
        token = distinct.into_iter().next().unwrap();
    }
}

async fn refreshes_without_grace(world: &World) {
    for round in 0..rounds() {
        let (_, token) = world.session().await;
        let answers = world.all_at_once(&refresh(&token)).await;
        let given: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(given.len(), 1, "round {round}");
        assert!(world.ask(&refresh(&given[0])).await.is_err(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_exchanges_of_a_code_one_succeeds_and_its_session_ends() {
    let (_folder, world) = on_sqlite(Config::default()).await;
    codes(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_refreshes_there_is_one_successor() {
    let (_folder, world) = on_sqlite(Config::default()).await;
    refreshes(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_one_of_a_hundred_refreshes_succeeds_and_the_session_ends() {
    let (_folder, world) = on_sqlite(strict()).await;
    refreshes_without_grace(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_postgres() {
    let Ok(url) = std::env::var("LIGHTNING_TEST_POSTGRES_URL") else {
        return;
    };
    for config in [Config::default(), strict()] {
        let is_strict = config.refresh_grace.is_zero();
        let settings = Settings { url: Some(url.clone()), ..Settings::default() };
        let admin = Database::open(&settings, "lightning_tests", &[]).await.unwrap();
        admin.execute("DROP SCHEMA IF EXISTS auth CASCADE", params![]).await.unwrap();
        admin.close().await;
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path(), &settings, config).await;
        if is_strict {
            refreshes_without_grace(&world).await;
        } else {
            codes(&world).await;
            refreshes(&world).await;
        }
    }
}

#[tokio::test]
async fn nobody_in_particular_gets_nothing() {
    let (_folder, world) = on_sqlite(Config::default()).await;
    let caller = Caller::anonymous();
    assert!(world.auth.clients(&caller, &slice(), None).await.is_err());
    assert!(world.auth.client_of(&caller, "lightning").await.is_err());
    // Another organisation's is not there.
    let mut other = Caller::new("user:x", "x", ["*"]);
    other.organization_id = "other".to_owned();
    assert!(world.auth.client_of(&other, "lightning").await.is_err());
    assert!(world.auth.clients(&other, &slice(), None).await.unwrap().is_empty());
}

fn slice() -> crate::store::Slice {
    crate::store::Slice { after: None, newest_first: true, limit: 10 }
}
