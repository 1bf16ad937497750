//! The agents service over real gRPC and REST, with a fresh database and fake peers.
//!
//! The peers are gRPC servers on the same mesh that do what a test tells them; the database is a file
//! in a temporary folder, so that a test can open it again.

#[cfg(test)]
mod it {
    mod agents;
    mod deployments;
    mod invocations;
    mod organizations;
    mod peers;
    mod policies;
    mod rest;
    mod scaled;
    mod support;
    mod templates;
}
