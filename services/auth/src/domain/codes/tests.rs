//! PKCE after the example of RFC 7636, and what a code must fit.

use lightning_mesh::clock::Timestamp;

use super::{Asked, Code, Demand, LIFETIME, challenge_of};
use crate::domain::sessions::Terms;
use crate::domain::{SessionId, UserId};

// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn asked() -> Asked<'static> {
    Asked {
        response_type: "code",
        client_id: "app",
        redirect_uri: "http://127.0.0.1:5000/cb",
        state: "s",
        scope: "agents.read models.read",
        challenge: CHALLENGE,
        challenge_method: "S256",
    }
}

#[test]
fn the_challenge_is_that_of_the_standard() {
    assert_eq!(challenge_of(VERIFIER), CHALLENGE);
}

#[test]
fn a_demand_names_each_parameter_that_is_wrong() {
    let check = |asked: Asked<'_>, expected: &str| {
        let wrong = Demand::try_new(&asked, asked.redirect_uri.starts_with("http://127.0.0.1:"))
            .unwrap_err();
        assert_eq!(wrong.0.iter().map(|one| one.field).collect::<Vec<_>>(), [expected]);
    };
    assert_eq!(Demand::try_new(&asked(), true).unwrap().scopes, ["agents.read", "models.read"]);
    check(Asked { response_type: "token", ..asked() }, "response_type");
    check(Asked { client_id: "", ..asked() }, "client_id");
    check(Asked { client_id: "a b", ..asked() }, "client_id");
    check(Asked { redirect_uri: "https://evil.example/", ..asked() }, "redirect_uri");
    check(Asked { challenge_method: "plain", ..asked() }, "code_challenge_method");
    check(Asked { challenge: "", ..asked() }, "code_challenge");
    check(Asked { state: &"s".repeat(2_001), ..asked() }, "state");
}

#[test]
fn a_code_fits_only_the_application_that_asked_for_it() {
    let now = Timestamp::from_micros(0);
    let demand = Demand::try_new(&asked(), true).unwrap();
    let (user, session) = (UserId::generate(), SessionId::generate());
    let (code, text) = Code::give(&demand, user, session, Vec::new(), Terms::default(), now);
    assert!(text.starts_with("lac_"));
    let check = |client: &str, redirect: &str, verifier: &str, now, expected| {
        let fits = code.is_open_to(client, now) && code.fits(redirect, verifier);
        assert_eq!(fits, expected, "{client} {redirect}");
    };
    let uri = "http://127.0.0.1:5000/cb";
    check("app", uri, VERIFIER, now, true);
    check("other", uri, VERIFIER, now, false);
    check("app", "http://127.0.0.1:5001/cb", VERIFIER, now, false);
    check("app", uri, &VERIFIER.replace('d', "e"), now, false);
    check("app", uri, "", now, false);
    check("app", uri, VERIFIER, now + LIFETIME, false);
}
