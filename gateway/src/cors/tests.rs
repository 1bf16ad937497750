//! Who is allowed, and what a configuration may say.

use http::Request;

use super::*;

fn cors(origins: &[&str], credentials: bool) -> Result<Option<Cors>, Error> {
    let origins = origins.iter().map(ToString::to_string).collect();
    Cors::new(&CorsConfig { origins, credentials, ..CorsConfig::default() })
}

fn granted(cors: &Cors, origins: &[&'static str]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for origin in origins {
        headers.append(header::ORIGIN, HeaderValue::from_static(origin));
    }
    cors.grant(&headers).map(|granted| {
        let mut told = HeaderMap::new();
        granted.tell(&mut told);
        told
    })
}

#[test]
fn origins_are_compared_whole() {
    let cors = cors(&["https://app.example.com", "http://localhost:3000"], true).unwrap().unwrap();
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        let told = granted(&cors, &[origin]).unwrap();
        assert_eq!(told[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        assert_eq!(told[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert!(
            told[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("grpc-status")
        );
    }
    for origin in [
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "http://localhost",
        "null",
        "*",
    ] {
        assert!(granted(&cors, &[origin]).is_none(), "{origin}");
    }
    assert!(granted(&cors, &[]).is_none());
    let twice = ["https://app.example.com", "http://localhost:3000"];
    assert!(granted(&cors, &twice).is_none());
}

#[test]
fn a_star_grants_without_credentials() {
    let cors = cors(&["*"], false).unwrap().unwrap();
    let told = granted(&cors, &["https://anybody.example"]).unwrap();
    assert_eq!(told[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(!told.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

#[test]
fn what_no_browser_sends_is_refused_in_the_configuration() {
    assert!(cors(&[], true).unwrap().is_none());
    for wrong in [
        "app.example.com",
        "https://app.example.com/",
        "https://App.example.com",
        "https://app.example.com:443",
        "https://u@app.example.com",
        "ftp://app.example.com",
        "null",
        "https://*.example.com:x",
    ] {
        assert!(cors(&[wrong], false).is_err(), "{wrong}");
    }
    assert!(cors(&["*"], true).is_err());
    assert!(cors(&["*", "https://app.example.com"], false).is_err());
}

#[test]
fn a_preflight_repeats_only_names() {
    let cors = cors(&["https://app.example.com"], false).unwrap().unwrap();
    let ask = |wanted: &'static str| {
        let request = Request::options("/x")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        cors.preflight(&request.body(()).unwrap().into_parts().0).unwrap()
    };
    let answer = ask("authorization, x-stainless-os");
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "authorization, x-stainless-os"
    );
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_MAX_AGE], "600");
    assert!(!ask("a b; c").headers().contains_key(header::ACCESS_CONTROL_ALLOW_HEADERS));
}
