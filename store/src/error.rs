//! What can go wrong with the store, in terms that hold for both databases.
//!
//! The variants are cut by what a caller does next: answer "already exists", try again, refuse to
//! start, or report a defect. Sources are shared (`Arc`), because one failed commit is the answer
//! to
//! every batch of its group. No variant carries a value of a row: errors end up in logs.

use std::{path::PathBuf, sync::Arc};

/// The underlying error, shared between the callers that it concerns.
pub type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// An error of the store. `statement` counts the statements of a batch from 0.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A statement touched another number of rows than was demanded; the whole batch was rolled
    /// back.
    #[error("statement {statement} was to touch {expected} rows and touched {found}")]
    Unexpected {
        /// Which statement of the batch.
        statement: usize,
        /// The rows demanded by [`crate::Expect::Rows`].
        expected: u64,
        /// The rows changed, or returned if the statement returns rows.
        found: u64,
    },
    /// A unique index or primary key already holds the value; the whole batch was rolled back.
    #[error("statement {statement} conflicts with a row that exists ({constraint})")]
    Conflict {
        /// Which statement of the batch.
        statement: usize,
        /// The columns that must be unique, as `table.column, table.column`, on both databases.
        constraint: String,
    },
    /// A foreign key, `NOT NULL` or `CHECK` rule refused a row; the whole batch was rolled back.
    #[error("statement {statement} breaks a {rule} rule")]
    Constraint {
        /// Which statement of the batch.
        statement: usize,
        /// `foreign key`, `not null`, `check` or `other`.
        rule: &'static str,
    },
    /// A parameter cannot be bound: wrong count, a NUL character in a text, not a number.
    #[error("parameters of statement {statement} are refused: {reason}")]
    Parameter {
        /// Which statement of the batch.
        statement: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A column is absent from the row or holds another type than was asked for.
    #[error("column {column:?} {reason}")]
    Column {
        /// The column's name as asked for.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A batch, result, cached value or message is larger than its documented limit.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes unless `what` says otherwise.
        limit: usize,
    },
    /// The disk is full. Nothing was written; reads go on, and writes succeed again once there is
    /// space.
    #[error("the disk that holds the database is full")]
    Full,
    /// A statement ran longer than 30 seconds and was stopped.
    #[error("the statement ran too long and was stopped")]
    Timeout,
    /// The database cannot be reached or its disk fails. Whether a write that met this was kept is
    /// unknown: repeat it under [`crate::Once`].
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// The file or the server's pages are damaged: restore a backup.
    #[error("the database is damaged")]
    Corrupt(#[source] Cause),
    /// Another process has the file open: a service's database has one owner.
    #[error("{} is in use by another process; a database file has one owner", path.display())]
    Owned {
        /// The file that is taken.
        path: PathBuf,
    },
    /// The migrations of the program and those of the database do not fit together.
    #[error("migration {version}: {reason}")]
    Migration {
        /// The version that does not fit.
        version: u32,
        /// What is wrong and what to do.
        reason: String,
        /// The database's answer, if it refused the migration's SQL.
        #[source]
        source: Option<Cause>,
    },
    /// The settings cannot work.
    #[error("store settings: {0}")]
    Settings(String),
    /// A counter of the cache holds something else than a number, or would overflow.
    #[error("the cached value is not a number that can be added to")]
    NotANumber,
    /// A subject or pattern of the bus is malformed.
    #[error("the subject is malformed: {0}")]
    Subject(&'static str),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// The database refused the statement: a defect of the SQL text or of its parameters.
    #[error("the database refused the statement")]
    Backend(#[source] Cause),
}

impl Error {
    /// Whether a row with the same unique value exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the same call may succeed later without anybody changing it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full | Self::Timeout)
    }

    /// The same error with the statement's number moved down by one, for helpers that put a
    /// statement
    /// of their own in front of a caller's.
    pub(crate) fn before_first(mut self) -> Self {
        if let Self::Unexpected { statement, .. }
        | Self::Conflict { statement, .. }
        | Self::Constraint { statement, .. }
        | Self::Parameter { statement, .. } = &mut self
        {
            *statement = statement.saturating_sub(1);
        }
        self
    }
}
