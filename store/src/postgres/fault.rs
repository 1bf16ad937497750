//! PostgreSQL's SQLSTATEs in the store's terms.
//!
//! The server's detail lines quote rows ("Key (name)=(…) already exists"), so its errors are not
//! kept
//! as they are: what remains is the code and, where it cannot quote a value, the message.

use std::{error::Error as _, io, sync::Arc};

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::DbError;

use crate::Error;

/// What is kept of an error of the server.
#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {code}: {message}")]
struct ServerError {
    code: String,
    message: String,
}

/// Translates an error of a statement.
pub(super) fn from_postgres(statement: usize, error: &tokio_postgres::Error) -> Error {
    let Some(server) = error.as_db_error() else {
        let lost =
            error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>());
        let cause = Arc::new(ClientError(chain(error)));
        return if lost { Error::Unavailable(cause) } else { Error::Backend(cause) };
    };
    let code = server.code().code();
    match code {
        "23505" => Error::Conflict { statement, constraint: columns(server) },
        "23503" => Error::Constraint { statement, rule: "foreign key" },
        "23502" => Error::Constraint { statement, rule: "not null" },
        "23514" => Error::Constraint { statement, rule: "check" },
        "53100" => Error::Full,
        "57014" => Error::Timeout,
        "XX001" | "XX002" => Error::Corrupt(kept(server)),
        // Too many connections, shutting down, starting up, deadlock, serialisation.
        "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "40001" | "40P01" => {
            Error::Unavailable(kept(server))
        }
        _ if code.starts_with("23") => Error::Constraint { statement, rule: "other" },
        _ if code.starts_with("08") => Error::Unavailable(kept(server)),
        _ => Error::Backend(kept(server)),
    }
}

/// Translates an error of the pool of connections.
pub(super) fn from_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            from_postgres(0, &error)
        }
        PoolError::Closed => Error::Closed,
        error @ (PoolError::Timeout(_)
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_)) => {
            Error::Unavailable(Arc::new(ClientError(error.to_string())))
        }
    }
}

/// Whether the server undid the transaction for the sake of another and asks for a new try.
pub(super) fn is_contention(error: &Error) -> bool {
    let Error::Unavailable(cause) = error else { return false };
    let server = cause.downcast_ref::<ServerError>();
    server.is_some_and(|server| matches!(server.code.as_str(), "40001" | "40P01"))
}

/// An error that arose on our side of the connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ClientError(String);

fn kept(server: &DbError) -> Arc<ServerError> {
    let code = server.code().code();
    // Class 22 is about values, and its messages quote them.
    let message =
        if code.starts_with("22") { "a value does not fit its place" } else { server.message() };
    Arc::new(ServerError { code: code.to_owned(), message: message.to_owned() })
}

/// The columns of a unique rule in SQLite's way of writing: `agents.tenant, agents.name`.
fn columns(server: &DbError) -> String {
    let table = server.table().unwrap_or_default();
    // "Key (tenant, name)=(…) already exists.", in whatever language: the first parentheses count.
    let names = server.detail().and_then(|detail| detail.split_once('(')?.1.split_once(")=("));
    match names {
        Some((names, _)) => {
            let columns: Vec<String> =
                names.split(", ").map(|name| format!("{table}.{name}")).collect();
            columns.join(", ")
        }
        None => format!("{table}.{}", server.constraint().unwrap_or_default()),
    }
}

fn chain(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
