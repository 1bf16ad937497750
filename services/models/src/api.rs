//! The RPCs: decode, call, encode. One file for each service of the contract.

use std::sync::Arc;

use crate::{engine::Engine, store::Store};

mod costs;
mod inferences;
mod models;
mod open_ai;

/// What all RPCs share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Store,
}
