//! The workflows service over real gRPC and REST, with a fresh database and fake peers.
//!
//! The peers are gRPC servers on the same mesh that do what a test tells them; the database is a file
//! in a temporary folder, so that a test can open it again after a crash. The clock is the test's.

#[cfg(test)]
mod it {
    mod control;
    mod crash;
    mod depth;
    mod engine;
    mod organizations;
    mod policies;
    mod resources;
    mod samples;
    mod scaled;
    mod support;
}
