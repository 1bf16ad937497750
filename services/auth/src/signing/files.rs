//! The key files: the one that seals, and signing keys that earlier versions kept beside it.
//!
//! Signing keys are in the database, sealed; what opens them is a file of 32 random bytes that only its
//! owner may read. A file that others can read is refused, not mended: whoever could read it may have.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::KeyError;
use crate::secrets::{self, Seal};

/// The folder below the data directory.
const FOLDER: &str = "auth-keys";
/// The file with the key that seals.
const SEAL_FILE: &str = "seal.key";
/// The most bytes of a key file.
const MAX_FILE: u64 = 16 * 1024;

/// Where the files are.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// Opens the key that seals: the configured file, or the one in the data directory, which is made at the
/// first start. Blocks on the file system.
pub(crate) fn open_seal(data_dir: &Path, configured: Option<&Path>) -> Result<Seal, KeyError> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => {
            let folder = folder(data_dir);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| KeyError::File { path: folder.clone(), source })?;
            let path = folder.join(SEAL_FILE);
            match fs::exists(&path) {
                Ok(true) => {}
                Ok(false) => create(&path, &secrets::random::<32>())?,
                Err(source) => return Err(KeyError::File { path, source }),
            }
            path
        }
    };
    let malformed =
        |_| KeyError::Malformed { path: path.clone(), expected: "exactly 32 random bytes" };
    let key: [u8; 32] = read_private(&path)?.try_into().map_err(malformed)?;
    Ok(Seal::new(&key))
}

/// A signing key that an earlier version kept in a file.
pub(crate) struct OldKey {
    pub(crate) path: PathBuf,
    /// When it was made: the name of the file, in microseconds; 0 if that is another name.
    pub(crate) made: i64,
    /// PKCS #8.
    pub(crate) der: Vec<u8>,
}

/// The signing keys of an earlier version, the oldest first. Blocks on the file system.
pub(crate) fn old_keys(data_dir: &Path) -> Result<Vec<OldKey>, KeyError> {
    let folder = folder(data_dir);
    let failed = |source| KeyError::File { path: folder.clone(), source };
    let mut paths = Vec::new();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(OldKey::read).collect()
}

// === impl OldKey ===

impl OldKey {
    fn read(path: PathBuf) -> Result<Self, KeyError> {
        let der = der_of(&read_private(&path)?);
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let made = name.parse().unwrap_or_default();
        match der {
            Some(der) => Ok(Self { path, made, der }),
            None => Err(Self::malformed(path)),
        }
    }

    pub(crate) fn malformed(path: PathBuf) -> KeyError {
        KeyError::Malformed { path, expected: "one P-256 private key as PKCS #8 in PEM" }
    }

    /// Removes the file, once the key is kept elsewhere.
    pub(crate) fn remove(&self) -> Result<(), KeyError> {
        match fs::remove_file(&self.path) {
            // Another instance on the same folder did.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| KeyError::File { path: self.path.clone(), source }),
        }
    }
}

fn der_of(pem: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(pem).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let [first, body @ .., last] = lines.as_slice() else {
        return None;
    };
    let is_key = *first == "-----BEGIN PRIVATE KEY-----" && *last == "-----END PRIVATE KEY-----";
    STANDARD.decode(body.concat()).ok().filter(|_| is_key)
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
