//! The integrations service.
