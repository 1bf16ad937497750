//! The keys on disk, and the access tokens signed with them.
//!
//! Tokens are JWTs after RFC 9068, signed with ES256. The signing keys are files in
//! `<data_dir>/auth-keys`: the newest signs, all are published, so that a key can be changed by adding a
//! file before the old one is removed. Nothing changes them by itself yet. Beside them lies the key that
//! seals kept answers. A file that others can read is refused, not mended: whoever could read it may
//! have.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lightning_mesh::clock::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    Error,
    domain::principals::{Authentication, Principal},
    secrets::{self, Seal},
};

/// The folder below the data directory.
const FOLDER: &str = "auth-keys";
/// The file with the key for kept answers.
const SEAL_FILE: &str = "seal.key";
/// The most bytes of a key file.
const MAX_FILE: u64 = 16 * 1024;
/// Whom access tokens are for: every service of the mesh.
const AUDIENCE: &str = "lightning";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or folder cannot be read or made.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error(
        "{} is readable by others; remove it and restart, or chmod 600 it if nobody else has read it",
        path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{} must hold {expected}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it must hold.
        expected: &'static str,
    },
    /// The system made no key.
    #[error("the system could not make a key")]
    Generate,
}

/// Signs access tokens. Has no `Debug`.
pub(crate) struct Signing {
    key: EncodingKey,
    header: Header,
    jwks: String,
    issuer: String,
    ttl: Duration,
}

/// What an access token says.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken<'a> {
    pub(crate) principal: &'a Principal,
    /// What it allows: the principal's permissions under the scopes.
    pub(crate) permissions: &'a [String],
    /// The `scope` claim.
    pub(crate) scope: String,
    /// The resource indicators (RFC 8707) it is for; empty for every service of the mesh.
    pub(crate) audiences: &'a [String],
    pub(crate) client_id: &'a str,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) authentication: Option<&'a Authentication>,
    /// Who acts for the principal, the nearest first (`act`, RFC 8693 section 4.1).
    pub(crate) actors: &'a [String],
    /// The thumbprint of the key it is bound to (`cnf.jkt`, RFC 9449 section 6).
    pub(crate) jkt: Option<&'a str>,
    /// Until when at most it may live, whatever its usual life is.
    pub(crate) not_after: Option<Timestamp>,
}

// === impl AccessToken ===

impl<'a> AccessToken<'a> {
    pub(crate) fn new(
        principal: &'a Principal,
        permissions: &'a [String],
        client_id: &'a str,
    ) -> Self {
        Self {
            principal,
            permissions,
            scope: permissions.join(" "),
            audiences: &[],
            client_id,
            session_id: None,
            authentication: None,
            actors: &[],
            jkt: None,
            not_after: None,
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: Vec<&'a str>,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    client_id: &'a str,
    org_id: &'a str,
    name: &'a str,
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    permissions: &'a [String],
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<serde_json::Value>,
}

/// The nested form of RFC 8693: the one who acts now is outermost.
fn act(actors: &[String]) -> Option<serde_json::Value> {
    actors.iter().rev().fold(None, |inner, actor| {
        Some(match inner {
            Some(inner) => json!({"sub": actor, "act": inner}),
            None => json!({"sub": actor}),
        })
    })
}

/// One signing key.
struct KeyFile {
    der: Vec<u8>,
    kid: String,
    jwk: serde_json::Value,
}

// === impl Signing ===

impl Signing {
    /// Reads the keys, making the first one if there is none. Blocks on the file system.
    pub(crate) fn open(
        data_dir: &Path,
        issuer: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<(Self, Seal), KeyError> {
        let folder = data_dir.join(FOLDER);
        make_folder(&folder).map_err(|source| KeyError::File { path: folder.clone(), source })?;
        let mut paths = pem_files(&folder)?;
        if paths.is_empty() {
            let path = folder.join(format!("{:020}.pem", now.as_micros()));
            create(&path, fresh_pem()?.as_bytes())?;
            paths.push(path);
        }
        let keys = paths.iter().map(|path| KeyFile::read(path)).collect::<Result<Vec<_>, _>>()?;
        let newest = keys.last().ok_or(KeyError::Generate)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(newest.kid.clone());
        let key = EncodingKey::from_ec_der(&newest.der);
        let published: Vec<_> = keys.iter().rev().map(|key| &key.jwk).collect();
        let jwks = json!({ "keys": published }).to_string();
        let signing = Self { key, header, jwks, issuer: issuer.to_owned(), ttl };
        Ok((signing, open_seal(&folder.join(SEAL_FILE))?))
    }

    /// The public keys, as a JWK Set.
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// How long an access token lives.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// An access token (RFC 9068).
    pub(crate) fn access_token(
        &self,
        token: &AccessToken<'_>,
        now: Timestamp,
    ) -> Result<String, Error> {
        let seconds = now.as_seconds();
        let expires = (now + self.ttl).min(token.not_after.unwrap_or(now + self.ttl));
        let aud = match token.audiences {
            [] => vec![AUDIENCE],
            audiences => audiences.iter().map(String::as_str).collect(),
        };
        let claims = Claims {
            iss: &self.issuer,
            sub: token.principal.subject.sub(),
            aud,
            exp: expires.as_seconds(),
            iat: seconds,
            nbf: seconds,
            jti: lightning_mesh::id::generate(),
            sid: token.session_id,
            client_id: token.client_id,
            org_id: &token.principal.organization_id,
            name: &token.principal.name,
            roles: &token.principal.roles,
            groups: &token.principal.groups,
            permissions: token.permissions,
            scope: &token.scope,
            auth_time: token.authentication.map(|authentication| authentication.at.as_seconds()),
            acr: token.authentication.map(Authentication::class),
            amr: token.authentication.map(|authentication| &*authentication.methods),
            act: act(token.actors),
            cnf: token.jkt.map(|jkt| json!({"jkt": jkt})),
        };
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.key)?)
    }
}

// === impl KeyFile ===

impl KeyFile {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed {
            path: path.to_owned(),
            expected: "one P-256 private key as PKCS #8 in PEM",
        };
        let text = String::from_utf8(read_private(path)?).map_err(|_| malformed())?;
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let [first, body @ .., last] = lines.as_slice() else {
            return Err(malformed());
        };
        if *first != "-----BEGIN PRIVATE KEY-----" || *last != "-----END PRIVATE KEY-----" {
            return Err(malformed());
        }
        let der = STANDARD.decode(body.concat()).map_err(|_| malformed())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map_err(|_| malformed())?;
        // An uncompressed point: 4, then x and y with 32 bytes each.
        let point = pair.public_key().as_ref();
        let (x, y) =
            point.get(1..).unwrap_or_default().split_at_checked(32).ok_or_else(malformed)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638: the hash of the required members, in this order and without blanks.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(secrets::sha256(canonical.as_bytes()));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": kid,
        });
        Ok(Self { der, kid, jwk })
    }
}

fn fresh_pem() -> Result<String, KeyError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Generate)?;
    let text = STANDARD.encode(document.as_ref());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

fn open_seal(path: &Path) -> Result<Seal, KeyError> {
    match fs::exists(path) {
        Ok(true) => {}
        Ok(false) => create(path, &secrets::random::<32>())?,
        Err(source) => return Err(KeyError::File { path: path.to_owned(), source }),
    }
    let malformed =
        |_| KeyError::Malformed { path: path.to_owned(), expected: "exactly 32 random bytes" };
    let key: [u8; 32] = read_private(path)?.try_into().map_err(malformed)?;
    Ok(Seal::new(&key))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The signing keys, the oldest first: their names begin with the time they were made.
fn pem_files(folder: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let failed = |source| KeyError::File { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_private(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file beside the place and links it there: it appears whole or not at all, and one that
/// another process put there first stays.
fn create(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let beside = path.with_extension(format!("{}.tmp", lightning_mesh::id::generate()));
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&beside).map_err(failed)?;
    linked.map_err(failed)?;
    // The name of the file must survive a power cut as well.
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests;
