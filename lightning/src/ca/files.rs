//! The files of an authority: whole or not at all, keys for their owner alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};

/// Modes of files: keys, and certificates.
pub(super) const PRIVATE: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads a text file.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let read = file.take(MAX_FILE).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// Fails if there is no such key file, or others than its owner may touch it.
pub(super) fn check_private(path: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if found.permissions().mode() & 0o077 != 0 {
        bail!(
            "the key file {} is readable by others; chmod 600 it, and replace the key if somebody may have \
             read it",
            path.display()
        );
    }
    Ok(())
}

/// Writes a file beside its place and moves it there, making the folder if need be.
pub(super) fn write(path: &Path, text: &str, mode: u32, replace: bool) -> anyhow::Result<()> {
    try_write(path, text, mode, replace).with_context(|| format!("cannot write {}", path.display()))
}

fn try_write(path: &Path, text: &str, mode: u32, replace: bool) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = path.with_extension(format!("{}.tmp", lightning_mesh::id::generate()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match replace {
            true => fs::rename(&beside, path),
            // Unlike a rename, a link never takes the place of a file that appeared meanwhile.
            false => fs::hard_link(&beside, path),
        }
    })();
    // After a rename it is gone already.
    let _ = fs::remove_file(&beside);
    written?;
    File::open(folder)?.sync_all()
}
