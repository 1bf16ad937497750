//! The workflows service.
