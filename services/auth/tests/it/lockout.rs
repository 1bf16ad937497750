//! Row G18 of the attacks: there is no way to guess that another way's failures do not count for.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    browser::{Browser, SECRET, config},
    factors::{App, enroll},
    world::{PASSWORD, World},
};

/// What can be guessed.
#[derive(Debug, Clone, Copy)]
enum Way {
    Password,
    Totp,
    Recovery,
    ClientSecret,
    DeviceCode,
}

const WAYS: [Way; 5] =
    [Way::Password, Way::Totp, Way::Recovery, Way::ClientSecret, Way::DeviceCode];

/// Somebody at one address with everything that is right at hand.
struct Attempts<'a> {
    world: &'a World,
    browser: Browser<'a>,
    app: App,
    recovery: String,
}

impl Attempts<'_> {
    async fn login(&self, name: &str, password: &str, otp: &str) -> StatusCode {
        let body = json!({"username": name, "password": password, "otp": otp});
        self.world.nobody().post("/api/v1/auth/login", body).await.status
    }

    async fn client(&self, secret: &str) -> StatusCode {
        let form =
            [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", secret)];
        self.browser.post_with("/oauth/token", &form, &[]).await.status
    }

    async fn device(&self, code: &str) -> StatusCode {
        let page = self.browser.visit("/account/device").await;
        self.browser.fill(&page, &[("user_code", code)]).await.status
    }

    /// A wrong one; the number makes names differ, so that no other axis is full first.
    async fn wrong(&self, way: Way, number: usize) -> StatusCode {
        let name = format!("nobody-{number}");
        match way {
            Way::Password => self.login(&name, &format!("wrong mule {number}"), "").await,
            Way::Totp => self.login("ada", PASSWORD, "000000").await,
            Way::Recovery => self.login("ada", PASSWORD, "aaaaa-aaaaa").await,
            Way::ClientSecret => self.client("wrong").await,
            Way::DeviceCode => self.device("BCDF-GHJK").await,
        }
    }

    /// What would be right.
    async fn right(&self, way: Way) -> StatusCode {
        let code = self.app.code(self.world.time());
        match way {
            Way::Password => self.login("bob", PASSWORD, "").await,
            Way::Totp => self.login("ada", PASSWORD, &code).await,
            Way::Recovery => self.login("ada", PASSWORD, &self.recovery).await,
            Way::ClientSecret => self.client(SECRET).await,
            Way::DeviceCode => self.device("BCDF-GHJK").await,
        }
    }
}

#[tokio::test]
async fn one_lockout_counts_over_every_way_to_guess() {
    let world = World::with(config()).await;
    let (ada, _) = world.admin().await;
    world.user(&ada, "bob", "viewer").await;
    let browser = world.browser().signed_in("bob").await;
    let (app, codes, _) = enroll(&world, &ada).await;
    let recovery = codes[0].as_str().unwrap().to_owned();
    let attempts = Attempts { world: &world, browser, app, recovery };
    world.advance(Duration::from_mins(1));
    // Fifty from one address are free. Each way stays below what its own account, client or device
    // code would bear: only the sum is too much.
    let counts = [
        (Way::Password, 22),
        (Way::Totp, 1),
        (Way::Recovery, 2),
        (Way::ClientSecret, 16),
        (Way::DeviceCode, 9),
    ];
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), 50);
    for (way, count) in counts {
        for number in 0..count {
            let status = attempts.wrong(way, number).await;
            assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "{way:?} {number}");
            assert!(status.is_client_error(), "{way:?} {number}: {status}");
        }
    }
    for way in WAYS {
        let status = attempts.right(way).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{way:?}");
    }
    world.advance(Duration::from_mins(20));
    for way in [Way::Password, Way::Totp] {
        assert_eq!(attempts.right(way).await, StatusCode::OK, "{way:?}");
    }
}
