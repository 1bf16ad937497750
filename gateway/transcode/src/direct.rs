//! JSON bytes to wire bytes and back, over flat tables and without a message in between.
//!
//! Both directions walk the text (or the wire) and the tables together and write into one buffer, so
//! the work and the memory grow with the bytes and with nothing else. `decode` reads JSON, `encode`
//! writes it.

use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

use crate::{
    codec::{Codec, CodecError},
    json::Style,
    tables::Tables,
};

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod out;
pub(crate) mod plain;

/// The codec that goes straight between JSON and the wire.
#[derive(Clone)]
pub struct DirectCodec {
    pub(crate) tables: Arc<Tables>,
    pub(crate) style: Style,
    pub(crate) max_depth: usize,
    pub(crate) ignore_unknown: bool,
}

impl DirectCodec {
    /// A codec for the messages of a pool, compiled once for all codecs of it, with at most `max_depth` levels of
    /// nesting in a text.
    #[expect(clippy::needless_pass_by_value, reason = "the constructor of every codec is the same")]
    pub fn new(pool: DescriptorPool, style: Style, max_depth: usize) -> Self {
        let tables = Tables::shared(&pool);
        Self { tables, style, max_depth, ignore_unknown: false }
    }

    /// Ignores unknown fields and enum names instead of refusing them.
    #[must_use]
    pub fn ignoring_unknown(mut self) -> Self {
        self.ignore_unknown = true;
        self
    }
}

impl Codec for DirectCodec {
    fn to_wire(&self, of: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, CodecError> {
        let id = self.tables.find(of.full_name());
        let id = id.ok_or_else(|| CodecError::Unknown(of.full_name().to_owned()))?;
        // Nearly always the text is the longer form.
        let mut out = Vec::with_capacity(json.len());
        decode::message(self, id, json, false, &mut out)?;
        Ok(out)
    }

    fn to_json(
        &self,
        of: &MessageDescriptor,
        field: Option<&FieldDescriptor>,
        wire: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        self.print(of, field, &wire, out)
    }
}
