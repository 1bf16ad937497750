//! What the mesh makes of failures and of too much work: real processes, real sockets.
//!
//! A binary of its own, because it needs the machine for itself: `cargo test` runs one binary after the
//! other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "faults/cluster.rs"]
mod cluster;
#[path = "faults/identity.rs"]
mod identity;
#[path = "faults/overload.rs"]
mod overload;
#[path = "faults/stories.rs"]
mod stories;
#[path = "it/support.rs"]
#[expect(dead_code, reason = "the end-to-end stories use the rest")]
mod support;

/// Whoever measures holds it alone, so that no other story takes the processor away.
static MACHINE: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
