//! Who may do what: every route and method of the mesh against everybody who may call it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "access/callers.rs"]
mod callers;
#[path = "access/table.rs"]
mod table;
