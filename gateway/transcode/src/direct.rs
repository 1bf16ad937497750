//! JSON bytes to wire bytes and back, over flat tables and without a message in between.
//!
//! Both directions walk the text (or the wire) and the tables together and write into one buffer, so
//! the work and the memory grow with the bytes and with nothing else. `decode` reads JSON, `encode`
//! writes it.

use std::sync::Arc;

use prost_reflect::DescriptorPool;

use crate::{json::Style, tables::Tables};

pub(crate) mod encode;

/// The codec that goes straight between JSON and the wire.
#[derive(Clone)]
pub struct DirectCodec {
    pub(crate) tables: Arc<Tables>,
    pub(crate) style: Style,
    pub(crate) max_depth: usize,
    pub(crate) ignore_unknown: bool,
}

impl DirectCodec {
    /// A codec for the messages of a pool, which it compiles, with at most `max_depth` levels of
    /// nesting in a text.
    #[expect(clippy::needless_pass_by_value, reason = "the constructor of every codec is the same")]
    pub fn new(pool: DescriptorPool, style: Style, max_depth: usize) -> Self {
        let tables = Arc::new(Tables::new(&pool));
        Self { tables, style, max_depth, ignore_unknown: false }
    }

    /// Ignores unknown fields and enum names instead of refusing them.
    #[must_use]
    pub fn ignoring_unknown(mut self) -> Self {
        self.ignore_unknown = true;
        self
    }
}
