//! The mesh from outside: real connections, real protocols, a small service behind them.

#![expect(clippy::unwrap_used, reason = "in a test, a failed step is a failed test")]

#[path = "it/signer.rs"]
mod signer;
#[path = "it/support.rs"]
mod support;

#[path = "it/chain.rs"]
mod chain;

#[path = "it/calls.rs"]
mod calls;
#[path = "it/deadlines.rs"]
mod deadlines;
#[path = "it/drain.rs"]
mod drain;
#[path = "it/identity.rs"]
mod identity;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/policies.rs"]
mod policies;
#[path = "it/proofs.rs"]
mod proofs;
#[path = "it/protocols.rs"]
mod protocols;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/reports.rs"]
mod reports;
#[path = "it/retries.rs"]
mod retries;
#[path = "it/telemetry.rs"]
mod telemetry;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/tokens.rs"]
mod tokens;
#[path = "it/upstreams.rs"]
mod upstreams;
