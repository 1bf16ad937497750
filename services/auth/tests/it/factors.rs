//! Second factors at the login, and how they come and go.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, Person, World};

/// An authenticator app.
pub(crate) struct App(totp_rs::Totp);

impl App {
    pub(crate) fn with(secret: &Value) -> Self {
        let secret = totp_rs::Secret::try_from_base32(secret.as_str().unwrap()).unwrap();
        let app = totp_rs::Builder::new().with_algorithm(totp_rs::Algorithm::SHA1);
        Self(app.with_digits(6).with_step_duration(30).with_secret(secret).build().unwrap())
    }

    pub(crate) fn code(&self, at: Timestamp) -> String {
        self.0.generate(u64::try_from(at.as_seconds()).unwrap()).to_string()
    }
}

/// Gives somebody an app, confirmed; answers it with the recovery codes.
pub(crate) async fn enroll(world: &World, person: &Person<'_>) -> (App, Value, String) {
    let begun = person.post("/api/v1/account/factors/totp", json!({"name": "phone"})).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    assert_eq!(begun.headers["cache-control"], "no-store");
    assert!(begun.body["otpauth_uri"].as_str().unwrap().starts_with("otpauth://totp/localhost:"));
    assert!(begun.body["qr_svg"].as_str().unwrap().contains("<svg"), "a picture");
    let id = begun.body["factor"]["id"].as_str().unwrap().to_owned();
    let app = App::with(&begun.body["secret"]);
    let path = format!("/api/v1/account/factors/{id}:confirm");
    person.post(&path, json!({"code": "000000x"})).await.refused(400, "FACTOR_INVALID");
    let done = person.post(&path, json!({"code": app.code(world.time())})).await;
    assert_eq!(done.status, 200, "{done:?}");
    (app, done.body["codes"].clone(), id)
}

async fn login(world: &World, otp: &str) -> Answer {
    let body = json!({"username": "ada", "password": PASSWORD, "otp": otp});
    world.nobody().post("/api/v1/auth/login", body).await
}

#[tokio::test]
async fn with_an_app_the_password_alone_is_not_enough() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, codes, _) = enroll(&world, &ada).await;
    assert_eq!(codes.as_array().unwrap().len(), 10);
    world.try_login("ada", PASSWORD).await.refused(401, "SECOND_FACTOR_REQUIRED");
    // Whoever lacks the password does not learn that there is one.
    world.try_login("ada", "wrong mule battery").await.refused(401, "CREDENTIALS_INVALID");
    login(&world, &app.code(world.time())).await.refused(401, "CREDENTIALS_INVALID");
    world.advance(Duration::from_secs(30));
    let code = app.code(world.time());
    assert_eq!(login(&world, &format!("{} {}", &code[..3], &code[3..])).await.status, 200);
    login(&world, &code).await.refused(401, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn codes_of_other_steps_are_refused_and_five_wrong_ones_make_it_wait() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, ..) = enroll(&world, &ada).await;
    world.advance(Duration::from_mins(10));
    let now = world.time();
    // With the wrong one at the enrolment it is five.
    for seconds in [-90_i64, -60, 60, 90] {
        let other = Timestamp::from_micros(now.as_micros() + seconds * 1_000_000);
        login(&world, &app.code(other)).await.refused(401, "CREDENTIALS_INVALID");
    }
    login(&world, &app.code(now)).await.refused(429, "ACCOUNT_LOCKED");
    // The right password alone clears nothing.
    world.try_login("ada", PASSWORD).await.refused(401, "SECOND_FACTOR_REQUIRED");
    login(&world, &app.code(now)).await.refused(429, "ACCOUNT_LOCKED");
    world.advance(Duration::from_secs(31));
    assert_eq!(login(&world, &app.code(world.time())).await.status, 200);
}

#[tokio::test]
async fn one_code_in_many_logins_at_once_is_good_for_one() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, codes, _) = enroll(&world, &ada).await;
    world.advance(Duration::from_mins(1));
    for code in [app.code(world.time()), codes[0].as_str().unwrap().to_owned()] {
        let (a, b, c, d) = tokio::join!(
            login(&world, &code),
            login(&world, &code),
            login(&world, &code),
            login(&world, &code),
        );
        let good = [a, b, c, d].iter().filter(|answer| answer.status == 200).count();
        assert_eq!(good, 1);
    }
}

#[tokio::test]
async fn recovery_codes_stand_for_the_app_once_each_and_can_be_renewed() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, codes, _) = enroll(&world, &ada).await;
    let first = codes[0].as_str().unwrap();
    assert_eq!(login(&world, &first.to_uppercase().replace('-', " ")).await.status, 200);
    login(&world, first).await.refused(401, "CREDENTIALS_INVALID");
    let listed = ada.get("/api/v1/account/factors").await.body;
    assert_eq!(listed["recovery_codes_left"], 9);
    assert_eq!(listed["factors"][0]["kind"], "totp");
    assert_eq!(listed["factors"][0]["confirmed"], true);
    assert!(!listed.to_string().contains("secret"), "{listed}");
    let path = "/api/v1/account/factors/recovery-codes";
    let renewed = ada.post(path, json!({})).await.body["codes"].clone();
    login(&world, codes[1].as_str().unwrap()).await.refused(401, "CREDENTIALS_INVALID");
    assert_eq!(login(&world, renewed[1].as_str().unwrap()).await.status, 200);
    // A second app brings no further codes.
    world.advance(Duration::from_secs(60));
    assert_eq!(login(&world, &app.code(world.time())).await.status, 200);
    let (second, none, _) = enroll(&world, &ada).await;
    assert_eq!(none, json!([]));
    world.advance(Duration::from_secs(30));
    assert_eq!(login(&world, &second.code(world.time())).await.status, 200);
}

#[tokio::test]
async fn an_app_counts_from_its_first_code_and_no_longer_than_it_exists() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let begun = ada.post("/api/v1/account/factors/totp", json!({})).await.body;
    assert_eq!(world.try_login("ada", PASSWORD).await.status, 200, "not confirmed");
    let id = begun["factor"]["id"].as_str().unwrap();
    assert_eq!(ada.delete(&format!("/api/v1/account/factors/{id}")).await.status, 204);
    let (_, _, id) = enroll(&world, &ada).await;
    world.user(&ada, "bob", "admin").await;
    let (bob, _) = world.login("bob").await;
    let path = format!("/api/v1/account/factors/{id}");
    bob.delete(&path).await.refused(404, "FACTOR_NOT_FOUND");
    bob.post(&format!("{path}:confirm"), json!({"code": "000000"}))
        .await
        .refused(404, "FACTOR_NOT_FOUND");
    assert_eq!(ada.delete(&path).await.status, 204);
    ada.delete(&path).await.refused(404, "FACTOR_NOT_FOUND");
    assert_eq!(world.try_login("ada", PASSWORD).await.status, 200);
    assert_eq!(ada.get("/api/v1/account/factors").await.body["recovery_codes_left"], 0);
}

#[tokio::test]
async fn factors_change_only_soon_after_a_login() {
    let world = World::new().await;
    let (ada, tokens) = world.admin().await;
    let (_, _, id) = enroll(&world, &ada).await;
    let key = ada.post("/api/v1/api-keys", json!({"name": "ci"})).await.body;
    let key = world.key(key["key"].as_str().unwrap());
    world.advance(Duration::from_mins(16));
    let fresh = world.refresh(&tokens["refresh_token"]).await.body;
    let late = world.bearer(fresh["access_token"].as_str().unwrap());
    for (person, reason) in [(&late, "LOGIN_TOO_OLD"), (&key, "SESSION_REQUIRED")] {
        for path in [
            "/api/v1/account/factors/totp",
            "/api/v1/account/factors/recovery-codes",
            "/api/v1/account/passkeys/begin",
        ] {
            person.post(path, json!({})).await.refused(400, reason);
        }
        person.delete(&format!("/api/v1/account/factors/{id}")).await.refused(400, reason);
    }
}

#[tokio::test]
async fn a_reset_password_does_not_replace_the_second_factor() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, ..) = enroll(&world, &ada).await;
    let id = ada.get("/api/v1/account").await.body["id"].as_str().unwrap().to_owned();
    let link = ada.post(&format!("/api/v1/users/{id}:resetPassword"), json!({})).await.body;
    let body = json!({"token": link["token"], "new_password": "seven purple lanterns drift"});
    let done = world.nobody().post("/api/v1/auth/password/complete", body).await;
    assert_eq!(done.status, 204, "{done:?}");
    let answer = world.try_login("ada", "seven purple lanterns drift").await;
    answer.refused(401, "SECOND_FACTOR_REQUIRED");
    world.advance(Duration::from_secs(30));
    let body = json!({"username": "ada", "password": "seven purple lanterns drift",
        "otp": app.code(world.time())});
    assert_eq!(world.nobody().post("/api/v1/auth/login", body).await.status, 200);
}

#[tokio::test]
async fn nobody_has_more_than_thirty_factors() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    for _ in 0..30 {
        let begun = ada.post("/api/v1/account/factors/totp", json!({})).await;
        assert_eq!(begun.status, 201, "{begun:?}");
    }
    let full = ada.post("/api/v1/account/factors/totp", json!({})).await;
    full.refused(429, "LIMIT_EXCEEDED");
    let path = "/api/v1/account/factors/totp";
    let long = "x".repeat(101);
    let first = ada.get("/api/v1/account/factors").await.body["factors"][0]["id"].clone();
    let first = format!("/api/v1/account/factors/{}", first.as_str().unwrap());
    assert_eq!(ada.delete(&first).await.status, 204);
    ada.post(path, json!({"name": long})).await.refused(400, "FACTOR_INVALID");
    assert_eq!(ada.post(path, json!({"name": "ok"})).await.status, 201);
}
