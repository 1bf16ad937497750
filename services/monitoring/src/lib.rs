//! The monitoring service.
