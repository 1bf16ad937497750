//! The pages about passwords, codes and accounts, as a browser without scripts sees them.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use lightning_auth::{Config, Registration};
use serde_json::{Value, json};

use crate::{
    factors::{App, enroll},
    world::{PASSWORD, World},
};

/// A browser: cookies, and no redirect is followed by itself.
pub(crate) struct Browser<'a> {
    world: &'a World,
    http: reqwest::Client,
    cookies: Mutex<HashMap<String, String>>,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) text: String,
    policy: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let http = reqwest::Client::builder();
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { world, http, cookies: Mutex::default() }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        let request = self
            .http
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(text.finish());
        self.send(request).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.world.harness.rest("auth"))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let cookies = self.cookies.lock().unwrap().clone();
        let cookies: Vec<String> =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request =
            if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let response = request.send().await.unwrap();
        for value in response.headers().get_all("set-cookie") {
            let pair = value.to_str().unwrap().split(';').next().unwrap().to_owned();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
        }
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (location, policy) = (header("location"), header("content-security-policy"));
        let status = response.status().as_u16();
        Page { status, location, policy, text: response.text().await.unwrap() }
    }

    /// Opens a page and sends its form with these fields.
    pub(crate) async fn fill(&self, page: &str, fields: &[(&str, &str)]) -> Page {
        let shown = self.get(page).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        assert!(shown.policy.contains("default-src 'none'"), "{shown:?}");
        assert!(!shown.policy.contains("unsafe"), "{shown:?}");
        let mut all = vec![("csrf".to_owned(), shown.value("csrf"))];
        for name in ["request", "next", "token"] {
            if shown.text.contains(&format!("name=\"{name}\"")) {
                all.push((name.to_owned(), shown.value(name)));
            }
        }
        let mut all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend_from_slice(fields);
        let path = page.split('?').next().unwrap();
        self.post(path, &all).await
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Page {
        self.fill("/account/login", &[("username", name), ("password", password)]).await
    }
}

impl Page {
    pub(crate) fn value(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&mark).unwrap_or_else(|| panic!("{name}: {self:?}"));
        rest.split('"').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_before_the_browser_is_signed_in() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let (app, codes, _) = enroll(&world, &ada).await;
    world.advance(Duration::from_mins(1));
    let browser = Browser::new(&world);
    let half = browser.sign_in("ada", PASSWORD).await;
    assert!(half.location.starts_with("/account/second-factor"), "{half:?}");
    // No step can be left out: the half session opens no page.
    for page in ["/account", "/account/sessions", "/account/security", "/account/password"] {
        let shown = browser.get(page).await;
        assert!(shown.location.starts_with("/account/login"), "{shown:?}");
    }
    let wrong = browser.fill("/account/second-factor", &[("code", "000000")]).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert!(wrong.text.contains("role=\"alert\""), "{wrong:?}");
    let code = app.code(world.time());
    let right = browser.fill("/account/second-factor", &[("code", &code)]).await;
    assert!(right.location.starts_with("/account/continue"), "{right:?}");
    assert!(browser.get("/account").await.text.contains("ada"));
    let other = Browser::new(&world);
    other.sign_in("ada", PASSWORD).await;
    let used = other.fill("/account/second-factor", &[("code", &code)]).await;
    assert_eq!(used.status, 400, "{used:?}");
    let recovery = codes[3].as_str().unwrap();
    let right = other.fill("/account/second-factor", &[("code", recovery)]).await;
    assert!(right.location.starts_with("/account/continue"), "{right:?}");
    // Without a password before it the page leads back.
    let nobody = Browser::new(&world);
    assert!(nobody.get("/account/second-factor").await.location.starts_with("/account/login"));
}

#[tokio::test]
async fn an_app_is_added_and_removed_on_the_page() {
    let world = World::new().await;
    world.admin().await;
    let browser = Browser::new(&world);
    browser.sign_in("ada", PASSWORD).await;
    let begun = browser.fill("/account/security", &[("action", "totp")]).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    assert!(begun.text.contains("<svg") && !begun.text.contains("<?xml"), "{begun:?}");
    let (_, rest) = begun.text.split_once("<code>").unwrap();
    let app = App::with(&Value::String(rest.split('<').next().unwrap().to_owned()));
    let id = begun.value("id");
    let code = app.code(world.time());
    let done = browser
        .fill("/account/security", &[("action", "confirm"), ("id", &id), ("code", &code)])
        .await;
    assert_eq!(done.text.matches("<li><code>").count(), 10, "{done:?}");
    world.try_login("ada", PASSWORD).await.refused(401, "SECOND_FACTOR_REQUIRED");
    let gone = browser.fill("/account/security", &[("action", "delete"), ("id", &id)]).await;
    assert_eq!(gone.location, "/account/security", "{gone:?}");
    assert_eq!(world.try_login("ada", PASSWORD).await.status, 200);
    world.advance(Duration::from_mins(16));
    let late = browser.fill("/account/security", &[("action", "totp")]).await;
    assert_eq!(late.status, 400, "{late:?}");
}

#[tokio::test]
async fn a_password_is_changed_on_the_page_and_other_browsers_are_signed_out() {
    let world = World::new().await;
    world.admin().await;
    let (browser, other) = (Browser::new(&world), Browser::new(&world));
    browser.sign_in("ada", PASSWORD).await;
    other.sign_in("ada", PASSWORD).await;
    let fields = |current, new| [("current_password", current), ("new_password", new)];
    let page = "/account/password";
    let wrong = browser.fill(page, &fields("wrong mule battery", "seven purple lanterns")).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let weak = browser.fill(page, &fields(PASSWORD, "short")).await;
    assert_eq!(weak.status, 400, "{weak:?}");
    let done = browser.fill(page, &fields(PASSWORD, "seven purple lanterns")).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(browser.get("/account").await.status, 200);
    assert!(other.get("/account").await.location.starts_with("/account/login"));
    assert_eq!(world.try_login("ada", "seven purple lanterns").await.status, 200);
}

#[tokio::test]
async fn a_link_of_an_admin_shows_a_page_that_sets_the_password() {
    let world = World::new().await;
    let (ada, _) = world.admin().await;
    let bob = world.user(&ada, "bob", "viewer").await;
    let path = format!("/api/v1/users/{}:resetPassword", bob["id"].as_str().unwrap());
    let link = ada.post(&path, json!({})).await.body["url"].as_str().unwrap().to_owned();
    let page = link.strip_prefix("http://localhost:8006").unwrap();
    let (browser, signed_in) = (Browser::new(&world), Browser::new(&world));
    signed_in.sign_in("bob", PASSWORD).await;
    assert_eq!(signed_in.get("/account").await.status, 200);
    let weak = browser.fill(page, &[("new_password", "short")]).await;
    assert_eq!(weak.status, 400, "{weak:?}");
    let done = browser.fill(page, &[("new_password", "seven purple lanterns")]).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(signed_in.get("/account").await.location.starts_with("/account/login"));
    assert_eq!(world.try_login("bob", "seven purple lanterns").await.status, 200);
    let again = browser.fill(page, &[("new_password", "seven purple lanterns 2")]).await;
    assert_eq!(again.status, 400, "{again:?}");
    // Nothing can be sent, so nobody is asked for a name.
    assert_eq!(browser.get("/account/reset").await.status, 400);
    assert_eq!(browser.fill("/account/verify?token=x", &[]).await.status, 400);
}

#[tokio::test]
async fn anyone_may_register_on_the_page_only_if_registration_is_open() {
    let world = World::with(Config { registration: Registration::Open, ..Config::default() }).await;
    let browser = Browser::new(&world);
    let fields = [("username", "eve"), ("email", ""), ("password", PASSWORD)];
    // The first user is made on the machine itself.
    assert_eq!(browser.fill("/account/register", &fields).await.status, 400);
    world.admin().await;
    let weak = [("username", "eve"), ("email", ""), ("password", "short")];
    let weak = browser.fill("/account/register", &weak).await;
    assert!(weak.status == 400 && weak.text.contains("value=\"eve\""), "{weak:?}");
    assert!(!weak.text.contains("short\""), "{weak:?}");
    let done = browser.fill("/account/register", &fields).await;
    assert_eq!(done.status, 200, "{done:?}");
    let (eve, _) = world.login("eve").await;
    assert_eq!(eve.get("/api/v1/account").await.body["roles"], json!(["viewer"]));
    let closed = World::new().await;
    closed.admin().await;
    let browser = Browser::new(&closed);
    assert_eq!(browser.get("/account/register").await.status, 400);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let world = World::new().await;
    world.admin().await;
    let browser = Browser::new(&world);
    browser.sign_in("ada", PASSWORD).await;
    let fields =
        [("csrf", "x"), ("current_password", PASSWORD), ("new_password", "seven purple lanterns")];
    for path in [
        "/account/password",
        "/account/security",
        "/account/second-factor",
        "/account/reset",
        "/account/register",
        "/account/verify",
        "/account/passkeys/login/begin",
        "/account/passkeys/login",
        "/account/passkeys/register/begin",
        "/account/passkeys/register",
        "/account/upstream/other",
    ] {
        assert_eq!(browser.post(path, &fields).await.status, 403, "{path}");
    }
    assert_eq!(world.try_login("ada", PASSWORD).await.status, 200);
}
