"""`authlib` (PyPI) as a relying party: code with PKCE, client credentials, private_key_jwt, refresh, revocation."""

import html
import os
import re
import unittest
import urllib.parse

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc.jwk import ECKey

ISSUER = os.environ["LIGHTNING_ISSUER"].rstrip("/")
ADMIN = {"username": os.environ["LIGHTNING_ADMIN"], "password": os.environ["LIGHTNING_ADMIN_PASSWORD"]}
REDIRECT = "http://127.0.0.1:9/callback"


def metadata():
    return requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()


def register(**extra):
    body = {"redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"], **extra}
    answer = requests.post(metadata()["registration_endpoint"], json=body, timeout=10)
    assert answer.status_code == 201, answer.text
    return answer.json()


def forms(page):
    """The forms of a page: where they go and the fields they carry."""
    for head, body in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, re.S | re.I):
        attributes = lambda tag: {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        fields = [attributes(tag) for tag in re.findall(r"<input\b([^>]*)>", body, re.I)]
        buttons = [(attributes(tag), text.strip()) for tag, text in re.findall(r"<button\b([^>]*)>(.*?)</button>", body, re.S)]
        values = {field["name"]: field.get("value", "") for field in fields if "name" in field}
        yield attributes(head).get("action"), values, buttons


def person(url):
    """Follows an authorization request as the admin, up to the redirect to the client."""
    with requests.Session() as browser:
        answer = browser.get(url, allow_redirects=False, timeout=10)
        for _ in range(20):
            if answer.is_redirect:
                target = urllib.parse.urljoin(answer.url, answer.headers["location"])
                if target.startswith(REDIRECT):
                    return target
                answer = browser.get(target, allow_redirects=False, timeout=10)
                continue
            for action, values, buttons in forms(answer.text):
                allow = [button for button, text in buttons if re.match("allow|approve", text, re.I)]
                if "password" in values:
                    values |= ADMIN
                elif allow:
                    values |= {allow[0]["name"]: allow[0].get("value", "")} if "name" in allow[0] else {}
                else:
                    continue
                target = urllib.parse.urljoin(answer.url, action or answer.url)
                origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(target))
                answer = browser.post(target, values, headers={"origin": origin}, allow_redirects=False, timeout=10)
                break
            else:
                raise AssertionError(f"stuck at {answer.url}: {answer.text}")
        raise AssertionError("too many pages")


class Flows(unittest.TestCase):
    def code_flow(self, session):
        verifier, nonce = generate_token(48), generate_token(20)
        url, state = session.create_authorization_url(
            metadata()["authorization_endpoint"], code_verifier=verifier, nonce=nonce
        )
        token = session.fetch_token(
            metadata()["token_endpoint"], authorization_response=person(url), code_verifier=verifier, state=state
        )
        return token, nonce

    def test_code_with_pkce_and_a_verified_id_token(self):
        client = register(token_endpoint_auth_method="none")
        session = OAuth2Session(
            client["client_id"], redirect_uri=REDIRECT, scope="openid profile offline_access",
            code_challenge_method="S256", token_endpoint_auth_method="none",
        )
        token, nonce = self.code_flow(session)
        keys = JsonWebKey.import_key_set(requests.get(metadata()["jwks_uri"], timeout=10).json())
        expected = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": client["client_id"]}}
        claims = jwt.decode(
            token["id_token"], keys, claims_cls=CodeIDToken, claims_options=expected, claims_params={"nonce": nonce}
        )
        claims.validate()
        userinfo = session.get(metadata()["userinfo_endpoint"]).json()
        self.assertEqual((userinfo["sub"], userinfo["preferred_username"]), (claims["sub"], ADMIN["username"]))
        fresh = session.refresh_token(metadata()["token_endpoint"], token["refresh_token"])
        self.assertNotEqual(fresh["refresh_token"], token["refresh_token"])
        with self.assertRaises(Exception):
            session.fetch_token(metadata()["token_endpoint"], grant_type="password", **ADMIN)

    def test_a_client_that_signs(self):
        key = ECKey.generate_key("P-256", {"kid": "k", "use": "sig", "alg": "ES256"})
        public = key.as_dict(private=False)
        client = register(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [public]})
        session = OAuth2Session(
            client["client_id"], key, redirect_uri=REDIRECT, scope="openid",
            code_challenge_method="S256", token_endpoint_auth_method="private_key_jwt",
        )
        session.register_client_auth_method(PrivateKeyJWT(ISSUER, alg="ES256", headers={"kid": "k"}))
        token, _ = self.code_flow(session)
        self.assertTrue(token["access_token"])

    def test_revocation(self):
        client = register(token_endpoint_auth_method="client_secret_basic")
        session = OAuth2Session(
            client["client_id"], client["client_secret"], redirect_uri=REDIRECT, scope="openid offline_access",
            code_challenge_method="S256", token_endpoint_auth_method="client_secret_basic",
        )
        token, _ = self.code_flow(session)
        answer = session.revoke_token(metadata()["revocation_endpoint"], token["refresh_token"], "refresh_token")
        self.assertEqual(answer.status_code, 200)
        seen = session.introspect_token(metadata()["introspection_endpoint"], token["access_token"])
        self.assertIs(seen.json()["active"], False)


if __name__ == "__main__":
    unittest.main()
