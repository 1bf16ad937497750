//! End-to-end stories: the real program as a process of its own, called through its ports.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

#[path = "it/support.rs"]
mod support;

#[path = "it/access.rs"]
mod access;
#[path = "it/agents.rs"]
mod agents;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/ca.rs"]
mod ca;
#[path = "it/crash.rs"]
mod crash;
#[path = "it/grpc.rs"]
mod grpc;
#[path = "it/integrations.rs"]
mod integrations;
#[path = "it/models.rs"]
mod models;
#[path = "it/program.rs"]
mod program;
#[path = "it/scaled.rs"]
mod scaled;
#[path = "it/workflows.rs"]
mod workflows;
