//! The gateway through real sockets: the services of a mesh, and services from outside of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "it/access_log.rs"]
mod access_log;
#[path = "it/credentials.rs"]
mod credentials;
#[path = "it/door.rs"]
mod door;
#[path = "it/edge.rs"]
mod edge;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/library.rs"]
mod library;
#[path = "it/mounting.rs"]
mod mounting;
#[path = "it/odd.rs"]
mod odd;
#[path = "it/python.rs"]
mod python;
#[path = "it/raw.rs"]
mod raw;
#[path = "../../mesh/tests/it/signer.rs"]
mod signer;
#[path = "it/smuggling.rs"]
mod smuggling;
#[path = "it/support.rs"]
mod support;
#[path = "it/swapping.rs"]
mod swapping;
