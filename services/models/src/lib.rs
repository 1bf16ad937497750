//! The models service.
