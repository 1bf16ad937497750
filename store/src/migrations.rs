//! Numbered migrations, each applied once.
//!
//! The database remembers the number, name and checksum of what it has seen. A text that was
//! changed
//! after it was applied, or a database that has seen more than the program knows, refuses to start:
//! both mean that program and data do not belong together, and going on would damage the data.
//! There is no way down: undoing is a further migration, or a backup.

use crate::Error;

#[cfg(test)]
mod tests;

/// One step of a service's tables.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub version: u32,
    /// A few words in snake_case, for people.
    pub name: &'static str,
    /// The statements, separated by `;`. Never changed once released.
    pub sql: &'static str,
}

/// A migration that the database has seen.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) checksum: String,
}

/// The table that remembers, on both databases.
pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)";

pub(crate) const LIST: &str = "SELECT version, checksum FROM schema_migrations ORDER BY version";

// The clock of the database, not ours: the crate has no clock, and the column is only for people.
pub(crate) const RECORD_SQLITE: &str =
    "INSERT INTO schema_migrations (version, name, checksum, applied_at)
    VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000000 AS BIGINT))";

pub(crate) const RECORD_POSTGRES: &str =
    "INSERT INTO schema_migrations (version, name, checksum, applied_at)
    VALUES ($1, $2, $3, CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT))";

/// Refuses a list with gaps or repetitions: a defect of the program, found before the database is
/// touched.
pub(crate) fn check_order(migrations: &[Migration]) -> Result<(), Error> {
    for (expected, migration) in (1_u32..).zip(migrations) {
        if migration.version != expected {
            let reason =
                format!("is out of order in the program: version {expected} should stand here");
            return Err(refused(migration.version, reason));
        }
    }
    Ok(())
}

/// Compares what the database has seen with what the program knows; answers what is still to be
/// applied.
pub(crate) fn pending(
    migrations: &'static [Migration],
    applied: &[Applied],
) -> Result<&'static [Migration], Error> {
    for (position, seen) in applied.iter().enumerate() {
        let version = u32::try_from(seen.version).unwrap_or(u32::MAX);
        let Some(known) = migrations.get(position) else {
            let reason = format!(
                "the database has seen it, but this program knows only {} migrations; start the newer program",
                migrations.len()
            );
            return Err(refused(version, reason));
        };
        if i64::from(known.version) != seen.version {
            return Err(refused(
                known.version,
                "is missing from the database, which has seen later ones".to_owned(),
            ));
        }
        if seen.checksum != checksum(known.sql) {
            let reason = format!(
                "{:?} was changed after it was applied; put the text back and write a further migration",
                known.name
            );
            return Err(refused(version, reason));
        }
    }
    Ok(&migrations[applied.len()..])
}

/// The error of a migration whose SQL the database refused.
pub(crate) fn failed(migration: &Migration, error: Error) -> Error {
    Error::Migration {
        version: migration.version,
        reason: format!("{:?} could not be applied", migration.name),
        source: Some(std::sync::Arc::new(error)),
    }
}

/// A checksum against accidents, not attacks (FNV-1a, 64 bits); line ends of a checkout do not
/// count.
pub(crate) fn checksum(sql: &str) -> String {
    format!("{:016x}", fnv(sql.bytes().filter(|byte| *byte != b'\r')))
}

/// FNV-1a over bytes: stable between releases of Rust, which the standard hashers are not.
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn refused(version: u32, reason: String) -> Error {
    Error::Migration { version, reason, source: None }
}
