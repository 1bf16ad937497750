//! A browser with its cookies, and what its user does on the pages.

use std::{collections::BTreeMap, sync::Mutex};

use lightning_auth::{Config, DeclaredClient};
use lightning_mesh::config::Secret;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::world::{PASSWORD, World};

// The example of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Where the application of the tests wants its answers.
pub(crate) const REDIRECT: &str = "https://app.example/cb";
/// Where it wants its users after logging out.
pub(crate) const AFTERWARDS: &str = "https://app.example/bye";
/// Its secret.
pub(crate) const SECRET: &str = "a-secret-of-more-than-32-characters!";
const ISSUER: &str = "http://localhost:8006";

/// A browser.
pub(crate) struct Browser<'a> {
    world: &'a World,
    http: reqwest::Client,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
}

/// A page, or a redirect.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) text: String,
}

/// A configuration with applications: `app` (with a secret), `spa` (public), `own` (one of ours).
pub(crate) fn config() -> Config {
    let app = DeclaredClient {
        id: "app".to_owned(),
        name: "Acme Notes".to_owned(),
        secret: Some(Secret::new(SECRET)),
        redirect_uris: vec![REDIRECT.to_owned(), "https://app.example/cb?a=1".to_owned()],
        post_logout_redirect_uris: vec![AFTERWARDS.to_owned()],
        ..DeclaredClient::default()
    };
    let device = "urn:ietf:params:oauth:grant-type:device_code".to_owned();
    let spa = DeclaredClient {
        id: "spa".to_owned(),
        name: "Page".to_owned(),
        secret: None,
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
        grant_types: [app.grant_types.clone(), vec![device]].concat(),
        ..app.clone()
    };
    let own = DeclaredClient {
        id: "own".to_owned(),
        name: "Console".to_owned(),
        secret: None,
        first_party: true,
        ..app.clone()
    };
    let pushing = DeclaredClient {
        id: "pushing".to_owned(),
        require_pushed_authorization_requests: true,
        ..app.clone()
    };
    Config { clients: vec![app, spa, own, pushing], ..Config::default() }
}

/// A request for the application, with changes: an empty value leaves a parameter out.
pub(crate) fn request(changes: &[(&str, &str)]) -> String {
    let mut values = BTreeMap::from([
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid agents.read"),
        ("state", "xyz"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    values.extend(changes.iter().copied());
    values.retain(|_, value| !value.is_empty());
    let pairs = values.into_iter();
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The path of such a request.
pub(crate) fn authorize(changes: &[(&str, &str)]) -> String {
    format!("/oauth/authorize?{}", request(changes))
}

impl World {
    pub(crate) fn browser(&self) -> Browser<'_> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.user_agent("Mozilla/5.0 Firefox/140.0").build().unwrap();
        Browser { world: self, http, cookies: Mutex::default() }
    }

    /// Exchanges a code for the application.
    pub(crate) async fn exchange(&self, code: &str) -> crate::world::Answer {
        let body = json!({"grant_type": "authorization_code", "code": code, "client_id": "app",
            "client_secret": SECRET, "redirect_uri": REDIRECT, "code_verifier": VERIFIER});
        self.nobody().post("/api/v1/auth/token", body).await
    }
}

impl Browser<'_> {
    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends a form with these values, as a page of ours would.
    pub(crate) async fn post(&self, path: &str, values: &[(&str, &str)]) -> Page {
        self.post_with(path, values, &[("sec-fetch-site", "same-origin")]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        values: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
        self.send(Method::POST, path, Some(body), headers).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Page {
        let path = path.strip_prefix(ISSUER).unwrap_or(path);
        let url = format!("{}{path}", self.world.harness.rest("auth"));
        let mut request = self.http.request(method, url);
        let cookies: Vec<String> = self
            .cookies
            .lock()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap().to_owned();
            let mut cookies = self.cookies.lock().unwrap();
            if value.is_empty() {
                cookies.remove(name)
            } else {
                cookies.insert(name.into(), value)
            };
        }
        Page { status, headers, text: response.text().await.unwrap() }
    }

    /// Follows redirects between our own pages.
    pub(crate) async fn visit(&self, path: &str) -> Page {
        let mut page = self.get(path).await;
        while let Some(next) = page.own_location() {
            page = self.get(&next).await;
        }
        page
    }

    /// Fills the form of a page, and follows redirects between our own pages.
    pub(crate) async fn fill(&self, page: &Page, values: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form();
        let mut all: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.retain(|(name, _)| !values.iter().any(|(other, _)| other == name));
        all.extend_from_slice(values);
        let mut page = self.post(&action, &all).await;
        while let Some(next) = page.own_location() {
            page = self.get(&next).await;
        }
        page
    }

    /// Signs in on a login page.
    pub(crate) async fn sign_in(&self, page: &Page, name: &str) -> Page {
        self.fill(page, &[("username", name), ("password", PASSWORD)]).await
    }

    /// Signs in without an application.
    pub(crate) async fn signed_in(self, name: &str) -> Self {
        let page = self.visit("/account").await;
        let page = self.sign_in(&page, name).await;
        assert!(page.text.contains("Signed in since"), "{page:?}");
        self
    }

    /// The code that the application gets; whoever has to agree does.
    pub(crate) async fn code(&self, changes: &[(&str, &str)]) -> String {
        let mut page = self.visit(&authorize(changes)).await;
        if page.status == StatusCode::OK {
            page = self.fill(&page, &[("decision", "allow")]).await;
        }
        page.answer()["code"].as_str().unwrap_or_else(|| panic!("{page:?}")).to_owned()
    }

    pub(crate) fn cookie(&self) -> String {
        self.cookies.lock().unwrap().get("lightning_session").cloned().unwrap_or_default()
    }
}

impl Page {
    pub(crate) fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION).map(|value| value.to_str().unwrap())
    }

    fn own_location(&self) -> Option<String> {
        self.location().filter(|to| to.starts_with('/')).map(str::to_owned)
    }

    /// What the application is told in the query of a redirect.
    pub(crate) fn answer(&self) -> Value {
        let location = self.location().unwrap_or_else(|| panic!("no redirect: {self:?}"));
        let url = url::Url::parse(location).unwrap();
        let pairs = url.query_pairs().map(|(name, value)| (name.into_owned(), json!(value)));
        Value::Object(pairs.collect())
    }

    /// Fails unless the application is told this error, with its state and our name.
    pub(crate) fn refused(&self, code: &str) {
        let answer = self.answer();
        assert_eq!(answer["error"], code, "{answer}");
        assert_eq!((&answer["iss"], &answer["state"]), (&json!(ISSUER), &json!("xyz")), "{answer}");
        assert!(answer.get("code").is_none());
    }

    /// Fails unless the person is told, and nobody else.
    pub(crate) fn told(&self, words: &str) {
        assert_eq!((self.status, self.location()), (StatusCode::BAD_REQUEST, None), "{self:?}");
        assert!(self.text.contains(words), "{words}: {}", self.text);
    }

    /// The address and the hidden fields of the first form.
    pub(crate) fn form(&self) -> (String, Vec<(String, String)>) {
        let form = self.text.split_once("<form").unwrap_or_else(|| panic!("no form: {self:?}")).1;
        let form = form.split("</form>").next().unwrap();
        let action = attribute(form, "action").unwrap();
        let inputs = form.split("<input").skip(1).filter(|input| input.contains("\"hidden\""));
        let hidden = inputs.map(|input| {
            (attribute(input, "name").unwrap(), attribute(input, "value").unwrap_or_default())
        });
        (action, hidden.collect())
    }

    pub(crate) fn hidden(&self, name: &str) -> String {
        let (_, hidden) = self.form();
        hidden.into_iter().find(|(known, _)| known == name).unwrap().1
    }
}

fn attribute(text: &str, name: &str) -> Option<String> {
    let rest = text.split_once(&format!("{name}=\""))?.1;
    let value = rest.split('"').next()?;
    let unescaped = value.replace("&#38;", "&").replace("&#34;", "\"").replace("&#60;", "<");
    Some(unescaped.replace("&#62;", ">").replace("&#39;", "'").replace("&amp;", "&"))
}
