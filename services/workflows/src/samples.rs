//! The workflows that come with the engine, created at the first start.
//!
//! They are ordinary workflows: a user may change or delete them, and a later start does not undo that
//! (a deleted one comes back, a changed one stays changed).

/// A shipped workflow.
pub(crate) struct Sample {
    pub(crate) id: &'static str,
    pub(crate) source: &'static str,
}

/// All of them.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        id: "workflow-customer-support",
        source: include_str!("../samples/customer-support.yaml"),
    },
    Sample { id: "workflow-data-pipeline", source: include_str!("../samples/data-pipeline.yaml") },
];
