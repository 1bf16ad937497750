//! Sealing: secrets at rest are AES-256-GCM under a key file.
//!
//! Every sealed text names its key and is bound to its place (which integration, which field), so one
//! that is copied to another row does not open there. The file's first line is the key in use; further
//! lines open what former keys sealed, which is how a key is replaced without a flag day. It keeps no
//! key in the database and derives none from a password.

use std::{fmt, io::Write as _, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Error;

#[cfg(test)]
mod tests;

/// What a line of the key file begins with.
const LINE: &str = "lightning-key-1";
/// What a sealed text begins with.
const FORMAT: &str = "s1";
const KEY_BYTES: usize = 32;
/// The most keys of a file.
const MAX_KEYS: usize = 16;

/// The keys, the one in use first.
pub(crate) struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    aead: RandomizedNonceKey,
    mac: hmac::Key,
}

// === impl Keyring ===

impl Keyring {
    /// Reads the key file, or makes it if it is absent and `may_create`: when sealed secrets exist, a
    /// new key could not open them, so its absence is an error that somebody must see.
    pub(crate) fn open(path: &Path, may_create: bool) -> Result<Self, Error> {
        let wrong = |why: &str, source| Error::KeyFile {
            path: path.to_owned(),
            why: why.to_owned(),
            source,
        };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                warn_if_readable(path);
                Self::parse(&text).map_err(|why| wrong(why, None))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_create => {
                create(path).map_err(|error| wrong("cannot be made", Some(error)))?;
                // Whoever was faster in making it wins; so it is read back rather than remembered.
                let text = std::fs::read_to_string(path)
                    .map_err(|error| wrong("cannot be read", Some(error)))?;
                Self::parse(&text).map_err(|why| wrong(why, None))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(wrong(
                "is missing, and the database holds secrets sealed with it; put it back",
                Some(error),
            )),
            Err(error) => Err(wrong("cannot be read", Some(error))),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let bytes = line
                .strip_prefix(LINE)
                .and_then(|rest| URL_SAFE_NO_PAD.decode(rest.trim()).ok())
                .filter(|bytes| bytes.len() == KEY_BYTES)
                .ok_or("has a line that is not `lightning-key-1 <32 bytes as base64url>`")?;
            keys.push(Key::new(&bytes).map_err(|_| "holds a key that cannot be used")?);
        }
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err("must hold 1 to 16 keys");
        }
        Ok(Self { keys })
    }

    /// Seals bytes for one place, such as `integration/<id>/credentials.token`.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<String, Error> {
        let key = self.keys.first().ok_or(Error::Sealing)?;
        let mut sealed = plain.to_vec();
        let nonce = key
            .aead
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed)
            .map_err(|_| Error::Sealing)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(format!("{FORMAT}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens what was sealed for the same place.
    pub(crate) fn open_sealed(&self, place: &str, text: &str) -> Result<Vec<u8>, Error> {
        self.try_open(place, text).ok_or(Error::CredentialsUnreadable)
    }

    fn try_open(&self, place: &str, text: &str) -> Option<Vec<u8>> {
        let (id, rest) = text.strip_prefix(FORMAT)?.strip_prefix('.')?.split_once('.')?;
        let key = self.keys.iter().find(|key| key.id == id)?;
        let mut whole = URL_SAFE_NO_PAD.decode(rest).ok()?;
        if whole.len() < NONCE_LEN {
            return None;
        }
        let mut sealed = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).ok()?;
        let plain = key.aead.open_in_place(nonce, Aad::from(place.as_bytes()), &mut sealed).ok()?;
        Some(plain.to_vec())
    }

    /// A keyed fingerprint: unlike a plain hash it gives no way to guess what was hashed, which may hold
    /// a weak password.
    pub(crate) fn fingerprint(&self, text: &str) -> Result<String, Error> {
        // The oldest key, so that a new one in front does not change the fingerprints.
        let key = self.keys.last().ok_or(Error::Sealing)?;
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&key.mac, text.as_bytes())))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

// === impl Key ===

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let id = URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, bytes).as_ref()[..6]);
        let aead = RandomizedNonceKey::new(&AES_256_GCM, bytes)?;
        // A key of its own for each use.
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = hmac::sign(&root, b"lightning integrations fingerprint");
        Ok(Self { id, aead, mac: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) })
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Sealing)?;
    Ok(bytes)
}

/// Writes a complete file beside it and links it into place: no reader ever sees a part of it, and a
/// file that exists is never replaced.
fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = || std::io::Error::other("no random numbers");
    let key: [u8; KEY_BYTES] = random().map_err(|_| failed())?;
    let tag: [u8; 6] = random().map_err(|_| failed())?;
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", URL_SAFE_NO_PAD.encode(tag)));
    let temporary = folder.join(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(format!("{LINE} {}\n", URL_SAFE_NO_PAD.encode(key)).as_bytes())?;
    file.sync_all()?;
    let linked = match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    std::fs::remove_file(&temporary)?;
    linked?;
    std::fs::File::open(folder)?.sync_all()
}

fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "the key file can be read by others; chmod 600 it"
        );
    }
}
