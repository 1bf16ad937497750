//! The enhanced service.
