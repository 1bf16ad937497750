//! SQLite's result codes in the store's terms.

use std::{io, sync::Arc};

use rusqlite::ffi;

use crate::Error;

/// Translates an error of a statement.
pub(super) fn from_sqlite(statement: usize, error: rusqlite::Error) -> Error {
    let Some(failure) = error.sqlite_error().copied() else {
        return Error::Backend(Arc::new(error));
    };
    match failure.extended_code & 0xff {
        ffi::SQLITE_CONSTRAINT => constraint(statement, failure.extended_code, &error),
        ffi::SQLITE_FULL => Error::Full,
        ffi::SQLITE_INTERRUPT => Error::Timeout,
        ffi::SQLITE_TOOBIG => Error::TooLarge { what: "a value", limit: 1_000_000_000 },
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Error::Corrupt(Arc::new(error)),
        ffi::SQLITE_BUSY
        | ffi::SQLITE_LOCKED
        | ffi::SQLITE_IOERR
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_NOMEM
        | ffi::SQLITE_PROTOCOL => Error::Unavailable(Arc::new(error)),
        _ => Error::Backend(Arc::new(error)),
    }
}

/// Translates an error of the file system.
pub(super) fn from_io(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::StorageFull {
        Error::Full
    } else {
        Error::Unavailable(Arc::new(error))
    }
}

/// Whether the file or its disk is at fault, so that no batch of the group can be trusted to it.
pub(super) fn is_storage(error: &Error) -> bool {
    matches!(error, Error::Full | Error::Unavailable(_) | Error::Corrupt(_))
}

fn constraint(statement: usize, code: i32, error: &rusqlite::Error) -> Error {
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            // "UNIQUE constraint failed: agents.id, agents.name": names of columns, never values.
            let text = error.to_string();
            let constraint = text.split_once("failed: ").map_or("", |(_, columns)| columns);
            Error::Conflict { statement, constraint: constraint.to_owned() }
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Error::Constraint { statement, rule: "foreign key" },
        ffi::SQLITE_CONSTRAINT_NOTNULL => Error::Constraint { statement, rule: "not null" },
        ffi::SQLITE_CONSTRAINT_CHECK => Error::Constraint { statement, rule: "check" },
        _ => Error::Constraint { statement, rule: "other" },
    }
}
