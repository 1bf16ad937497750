//! The memory: SQL, cache and bus, embedded or scaled.
//!
//! Every service keeps its truth in one [`Database`], which is a SQLite file of its own on one
//! machine
//! and a schema of its own in PostgreSQL on a cluster; which of the two is a URL in the
//! configuration,
//! never a cargo feature. One SQL text serves both: `README.md` beside this crate names the common
//! subset. [`Cache`] and [`Bus`] are the two helpers that may forget: what they hold can be lost at
//! any moment without harm.
//!
//! It deliberately has no query builder, no mapping of rows to types and no knowledge of gRPC or of
//! any
//! domain: a service writes its SQL in its own store room and reads columns by name.

mod batch;
mod bus;
mod cache;
mod database;
mod error;
mod migrations;
pub mod once;
mod postgres;
mod settings;
mod sqlite;
mod value;

pub use batch::{Batch, Done, Expect};
pub use bus::{Bus, MemoryBus, Notice};
pub use cache::{Cache, MemoryCache};
pub use database::{Database, Figures};
pub use error::{Cause, Error};
pub use migrations::Migration;
pub use once::{Once, Outcome};
pub use settings::Settings;
pub use value::{Params, Row, Value};

/// The most rows that one read or one statement may return: 100,000. Lists are paged; more is a
/// missing `LIMIT`.
pub const MAX_ROWS: usize = 100_000;

/// The most bytes of values that one read or one statement may return: 64 MiB.
pub const MAX_RESULT_BYTES: usize = 64 << 20;

/// Builds the [`Params`] of a statement: `params![id, name, revision]`, the first being `$1`.
#[macro_export]
macro_rules! params {
    () => { $crate::Params::new() };
    ($($value:expr),+ $(,)?) => { vec![$($crate::Value::from($value)),+] };
}
