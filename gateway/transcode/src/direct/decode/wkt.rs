//! The well-known types, from JSON: the ones whose form is not that of their fields.
//!
//! Their fields never change and their tables have been checked, so the tags stand here as bytes.

use super::{Decoder, Key, Keys, Result};
use crate::{
    direct::{out, plain},
    json::{JsonError, Reason, Wkt, lex::Next, number},
    tables::MessageTable,
};

/// The tags of `Struct`, its entries, `ListValue` and `Value`.
mod tag {
    pub(super) const STRUCT_FIELDS: &[u8] = &[0x0a];
    pub(super) const ENTRY_KEY: &[u8] = &[0x0a];
    pub(super) const ENTRY_VALUE: &[u8] = &[0x12];
    pub(super) const LIST_VALUES: &[u8] = &[0x0a];
    pub(super) const VALUE_STRING: &[u8] = &[0x1a];
    pub(super) const VALUE_STRUCT: &[u8] = &[0x2a];
    pub(super) const VALUE_LIST: &[u8] = &[0x32];
}

impl<'c> Decoder<'_, 'c, '_> {
    /// Reads a well-known type and writes its content.
    pub(super) fn wkt(&mut self, wkt: Wkt, of: &'c MessageTable) -> Result<()> {
        match wkt {
            Wkt::Timestamp | Wkt::Duration | Wkt::FieldMask => {
                self.expect(Next::String)?;
                let offset = self.lex.offset();
                let text = self.lex.string()?;
                plain::well_known(self.tables, of, wkt, &text, self.style, self.out)
                    .map_err(|text| JsonError::invalid(offset, text))
            }
            Wkt::Wrapper => {
                let field = of.field_of_number(1).expect("a wrapper has field 1");
                self.single(field, true).map(drop)
            }
            Wkt::Struct => self.structure(),
            Wkt::ListValue => self.list_value(),
            Wkt::Value => self.any_json(),
            Wkt::Any => self.any(),
        }
    }

    fn structure(&mut self) -> Result<()> {
        self.expect(Next::Object)?;
        self.lex.enter()?;
        let mut keys = Keys::new();
        let mut first = true;
        while let Some((text, offset)) = self.lex.key(&mut first)? {
            if !keys.insert(Key::Text(text.clone())) {
                let error = JsonError::new(Reason::Malformed, offset, "the key is given twice");
                return Err(error.under_key(&text));
            }
            let entry = out::open(self.out, tag::STRUCT_FIELDS);
            out::bytes(self.out, tag::ENTRY_KEY, text.as_bytes());
            let value = out::open(self.out, tag::ENTRY_VALUE);
            self.deeper(|decoder| decoder.deeper(Self::any_json))
                .map_err(|error| error.under_key(&text))?;
            out::close(self.out, value);
            out::close(self.out, entry);
        }
        Ok(())
    }

    fn list_value(&mut self) -> Result<()> {
        self.expect(Next::Array)?;
        self.lex.enter()?;
        let mut first = true;
        let mut index = 0;
        while self.lex.item(&mut first)? {
            let value = out::open(self.out, tag::LIST_VALUES);
            self.deeper(Self::any_json).map_err(|error| error.under_index(index))?;
            out::close(self.out, value);
            index += 1;
        }
        Ok(())
    }

    /// Reads any JSON at all into a `google.protobuf.Value`.
    fn any_json(&mut self) -> Result<()> {
        match self.lex.peek()? {
            Next::Null => {
                self.lex.null()?;
                self.out.extend_from_slice(&[0x08, 0]);
            }
            Next::Number => {
                let offset = self.lex.offset();
                let value = number::checked_double(self.lex.number()?)
                    .map_err(|text| JsonError::invalid(offset, text))?;
                self.out.push(0x11);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Next::String => self.string(tag::VALUE_STRING, false)?,
            Next::Bool => {
                let value = self.lex.bool()?;
                self.out.extend_from_slice(&[0x20, u8::from(value)]);
            }
            Next::Object => {
                let part = out::open(self.out, tag::VALUE_STRUCT);
                self.deeper(Self::structure)?;
                out::close(self.out, part);
            }
            Next::Array => {
                let part = out::open(self.out, tag::VALUE_LIST);
                self.deeper(Self::list_value)?;
                out::close(self.out, part);
            }
        }
        Ok(())
    }
}
