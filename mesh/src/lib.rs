//! The plumbing: serving, calling, identity, telemetry, configuration.
