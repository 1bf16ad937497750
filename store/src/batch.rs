//! Statements that succeed or fail together.
//!
//! A batch is a value, not an open transaction: it is handed over whole, so no caller can hold a
//! lock
//! while it waits for something else, a crowd of batches can share one disk flush, and a batch that
//! lost a deadlock can be run again. A decision that depends on what is stored is written as a
//! condition in the SQL together with [`Expect`].

use crate::{Error, Params, Row};

#[cfg(test)]
mod tests;

/// The most bytes of SQL values that one batch may carry: 32 MiB.
const MAX_BYTES: usize = 32 << 20;

/// The most statements that one batch may carry: 10,000.
const MAX_STATEMENTS: usize = 10_000;

/// What a statement must have done for its batch to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exactly this many rows changed, or returned if the statement returns rows.
    Rows(u64),
}

/// What a statement did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// Rows inserted, updated or deleted; for a statement that returns rows, how many it returned.
    pub changed: u64,
    /// The rows of `RETURNING`.
    pub rows: Vec<Row>,
}

/// Statements for one atomic transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    statements: Vec<Statement>,
    bytes: usize,
}

/// One statement of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) params: Params,
    pub(crate) expect: Option<Expect>,
}

// === impl Batch ===

impl Batch {
    /// An empty batch; writing it does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement.
    #[must_use]
    pub fn then(self, sql: &'static str, params: Params) -> Self {
        self.push(Statement { sql, params, expect: None })
    }

    /// Adds a statement that rolls the whole batch back with [`Error::Unexpected`] unless it did
    /// what is expected.
    #[must_use]
    pub fn then_expect(self, sql: &'static str, params: Params, expect: Expect) -> Self {
        self.push(Statement { sql, params, expect: Some(expect) })
    }

    /// Adds the statements of another batch.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        self.bytes += other.bytes;
        self.statements.extend(other.statements);
        self
    }

    /// How many statements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there is no statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    fn push(mut self, statement: Statement) -> Self {
        self.bytes += 64 + statement.params.iter().map(crate::Value::size).sum::<usize>();
        self.statements.push(statement);
        self
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Refuses what neither database should be asked to do.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.statements.len() > MAX_STATEMENTS {
            return Err(Error::TooLarge {
                what: "the number of statements of a batch",
                limit: MAX_STATEMENTS,
            });
        }
        if self.bytes > MAX_BYTES {
            return Err(Error::TooLarge { what: "a batch", limit: MAX_BYTES });
        }
        self.statements
            .iter()
            .enumerate()
            .try_for_each(|(number, statement)| check_params(number, &statement.params))
    }
}

// === impl Statement ===

impl Statement {
    /// Compares what was done with what was expected.
    pub(crate) fn verify(&self, statement: usize, done: &Done) -> Result<(), Error> {
        match self.expect {
            Some(Expect::Rows(expected)) if expected != done.changed => {
                Err(Error::Unexpected { statement, expected, found: done.changed })
            }
            Some(Expect::Rows(_)) | None => Ok(()),
        }
    }
}

/// Refuses values that the two databases would treat differently.
pub(crate) fn check_params(statement: usize, params: &Params) -> Result<(), Error> {
    match params.iter().find_map(crate::Value::fault) {
        Some(reason) => Err(Error::Parameter { statement, reason }),
        None => Ok(()),
    }
}

/// The rows of an answer, kept within the limits of the crate.
#[derive(Default)]
pub(crate) struct Answer {
    rows: Vec<Row>,
    bytes: usize,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn push(&mut self, row: Row) -> Result<(), Error> {
        self.bytes += row.size();
        if self.bytes > crate::MAX_RESULT_BYTES {
            return Err(Error::TooLarge {
                what: "the answer of a statement",
                limit: crate::MAX_RESULT_BYTES,
            });
        }
        if self.rows.len() == crate::MAX_ROWS {
            return Err(Error::TooLarge {
                what: "the number of rows of an answer",
                limit: crate::MAX_ROWS,
            });
        }
        self.rows.push(row);
        Ok(())
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
