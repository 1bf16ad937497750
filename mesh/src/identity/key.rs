//! The mesh key: 32 random bytes that the services of one mesh share, by which they prove themselves
//! to each other.
//!
//! On one machine it makes itself in the data directory; several machines are given the same file. A
//! key file that others can read is refused, not mended: whoever could read it may have.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;

const LENGTH: usize = 32;

/// The key itself. Has no `Debug`.
#[derive(Clone)]
pub(crate) struct MeshKey([u8; LENGTH]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot use the mesh key file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("the mesh key file {} is readable by others; remove it and restart, or chmod 600 it if \
             nobody else has read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold exactly 32 bytes.
    #[error("the mesh key file {} must hold exactly 32 random bytes", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl MeshKey {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; LENGTH];
        rand::fill(&mut bytes).expect("the system has random bytes");
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the key, making it first if the file does not exist. Several processes may do so at once:
    /// all of them end up with the same key.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(failed)?;
                Self::read(path, File::open(path).map_err(failed)?)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(path: &Path, mut file: File) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        // One byte more than the key shows a file that is too long.
        let mut bytes = Vec::with_capacity(LENGTH + 1);
        io::Read::by_ref(&mut file)
            .take(LENGTH as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let bytes = bytes.try_into().map_err(|_| KeyError::Malformed { path: path.to_owned() })?;
        Ok(Self(bytes))
    }
}

/// Writes a fresh key beside the place and links it there: the file appears whole or not at all, and a
/// file that another process put there first stays.
fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.tmp", crate::id::generate()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(MeshKey::random().bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&beside)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/mesh.key");
        let first = MeshKey::load_or_create(&path).unwrap();
        let again = MeshKey::load_or_create(&path).unwrap();
        assert_eq!(first.bytes(), again.bytes());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.key");
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MeshKey::load_or_create(&path), Err(KeyError::Exposed { .. })));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.key");
        for length in [0, 31, 33] {
            fs::write(&path, vec![7; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(MeshKey::load_or_create(&path), Err(KeyError::Malformed { .. })));
        }
    }
}
