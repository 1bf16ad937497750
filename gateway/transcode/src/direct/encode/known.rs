//! The well-known types, each in the form that ProtoJSON gives it.
//!
//! The tables vouch for their fields, so they are read by number. What JSON cannot express (a time
//! out of range, a NaN inside a `Value`) is an error and never a guess.

use super::{Encoder, Fail, MAX_ANYS, NOWHERE, Result, check, text, wire};
use crate::{
    json::{Style, Wkt, time},
    tables::{FieldTable, MessageTable},
};

impl<'t> Encoder<'t, '_> {
    pub(super) fn known(
        &mut self,
        wkt: Wkt,
        table: &'t MessageTable,
        bytes: &[u8],
        depth: u32,
    ) -> Result {
        match wkt {
            Wkt::Timestamp | Wkt::Duration => self.moment(wkt, bytes),
            Wkt::FieldMask => self.mask(bytes),
            Wkt::Wrapper => self.wrapper(only(table)?, bytes),
            Wkt::Struct => self.map(only(table)?, bytes, 0, bytes.len(), depth),
            Wkt::ListValue => self.list(only(table)?, bytes, 0, bytes.len(), depth),
            Wkt::Value => self.json_value(table, bytes, depth),
            Wkt::Any => {
                let (mut url, mut value) = (&[][..], &[][..]);
                let mut at = 0;
                while at < bytes.len() {
                    match wire::key(bytes, &mut at)? {
                        (1, wire::LEN) => url = check::text(wire::delimited(bytes, &mut at)?)?,
                        (2, wire::LEN) => value = wire::delimited(bytes, &mut at)?,
                        (1 | 2, _) => return Err(Fail::Wire),
                        (number, wire_type) => wire::skip(bytes, &mut at, number, wire_type)?,
                    }
                }
                self.any(url, value, depth)
            }
        }
    }

    /// Writes a `Timestamp` or a `Duration`: seconds and nanoseconds.
    fn moment(&mut self, wkt: Wkt, bytes: &[u8]) -> Result {
        let (mut seconds, mut nanos) = (0, 0);
        let mut at = 0;
        while at < bytes.len() {
            match wire::key(bytes, &mut at)? {
                (1, wire::VARINT) => seconds = wire::varint(bytes, &mut at)?.cast_signed(),
                (2, wire::VARINT) => {
                    nanos = super::value::narrow(wire::varint(bytes, &mut at)?);
                }
                (1 | 2, _) => return Err(Fail::Wire),
                (number, wire_type) => wire::skip(bytes, &mut at, number, wire_type)?,
            }
        }
        let write =
            if wkt == Wkt::Timestamp { time::write_timestamp } else { time::write_duration };
        self.out.push(b'"');
        write(self.out, seconds, nanos).map_err(Fail::Inexpressible)?;
        self.out.push(b'"');
        Ok(())
    }

    /// Writes the paths of a `FieldMask` between commas.
    fn mask(&mut self, bytes: &[u8]) -> Result {
        self.out.push(b'"');
        let start = self.out.len();
        let mut at = 0;
        while at < bytes.len() {
            let (number, wire_type) = wire::key(bytes, &mut at)?;
            if number != 1 {
                wire::skip(bytes, &mut at, number, wire_type)?;
                continue;
            }
            if wire_type != wire::LEN {
                return Err(Fail::Wire);
            }
            let path = check::text(wire::delimited(bytes, &mut at)?)?;
            if self.out.len() > start {
                self.out.push(b',');
            }
            match self.style {
                Style::Product => text::escape(self.out, path),
                Style::Canonical => self.camel(path)?,
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    /// Writes a path in lowerCamelCase, if it can be read back from that.
    fn camel(&mut self, path: &[u8]) -> Result {
        let mut upper = false;
        for &byte in path {
            // An underscore must be followed by a letter that can be raised, and nothing else may
            // be upper case.
            let survives =
                if upper { byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
            if !survives {
                return Err(Fail::Inexpressible(CAMEL));
            }
            if byte == b'_' {
                upper = true;
            } else {
                let byte =
                    if std::mem::take(&mut upper) { byte.to_ascii_uppercase() } else { byte };
                text::escape(self.out, &[byte]);
            }
        }
        if upper { Err(Fail::Inexpressible(CAMEL)) } else { Ok(()) }
    }

    /// Writes the value of a wrapper, which is field 1.
    fn wrapper(&mut self, field: &'t FieldTable, bytes: &[u8]) -> Result {
        let mut at = 0;
        let mut last = None;
        while at < bytes.len() {
            let (number, wire_type) = wire::key(bytes, &mut at)?;
            if number == field.number {
                if wire_type != field.kind.wire_type() {
                    return Err(Fail::Wire);
                }
                if let Some(replaced) = last.replace(at) {
                    check::replaced(self.tables, field, bytes, replaced as u32, 0)?;
                }
            }
            wire::skip(bytes, &mut at, number, wire_type)?;
        }
        match last {
            Some(mut at) => self.value(field, bytes, &mut at, 0),
            None => {
                self.out.extend_from_slice(field.unset(self.style));
                Ok(())
            }
        }
    }

    /// Writes a `Value`. It mostly holds one field and nothing else, which is seen at once.
    fn json_value(&mut self, table: &'t MessageTable, bytes: &[u8], depth: u32) -> Result {
        let mut at = 0;
        if bytes.is_empty() {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        let (number, wire_type) = wire::key(bytes, &mut at)?;
        let start = at;
        wire::skip(bytes, &mut at, number, wire_type)?;
        if at == bytes.len()
            && let Some(field) = table.field_of_number(number)
            && field.takes(wire_type)
        {
            finite(field, bytes, start)?;
            at = start;
            return self.value(field, bytes, &mut at, depth);
        }
        let base = self.index(table, bytes, depth)?;
        let places = &self.scratch.places[base..base + table.fields.len()];
        let set = places.iter().position(|place| place.first != NOWHERE);
        let set = set.map(|slot| (&table.fields[slot], places[slot]));
        self.scratch.places.truncate(base);
        match set {
            None => {
                self.out.extend_from_slice(b"null");
                Ok(())
            }
            Some((field, place)) => {
                finite(field, bytes, place.last as usize)?;
                self.singular(field, bytes, place, depth)
            }
        }
    }

    /// Writes an `Any`; its content is read as the message that it says it is.
    pub(super) fn any(&mut self, url: &[u8], value: &[u8], depth: u32) -> Result {
        if url.is_empty() && value.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        self.out.extend_from_slice(b"{\"@type\":");
        text::utf8(self.out, url)?;
        let name = url.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| Fail::Wire)?;
        let before = (self.out.len(), self.scratch.places.len(), self.scratch.entries.len());
        let fits = self.anys < MAX_ANYS && depth > 0 && u32::try_from(value.len()).is_ok();
        let known = self.tables.find(name).filter(|_| fits);
        let written = known.is_some_and(|of| {
            self.anys += 1;
            let written = self.any_content(self.tables.message(of), value, depth - 1);
            self.anys -= 1;
            written.is_ok()
        });
        if !written {
            self.out.truncate(before.0);
            self.scratch.places.truncate(before.1);
            self.scratch.entries.truncate(before.2);
            self.out.extend_from_slice(b",\"value\":");
            text::base64(self.out, value);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn any_content(&mut self, table: &'t MessageTable, value: &[u8], depth: u32) -> Result {
        match table.wkt {
            Some(wkt) => {
                self.out.extend_from_slice(b",\"value\":");
                self.known(wkt, table, value, depth)
            }
            None => self.members(table, value, depth, false),
        }
    }
}

const CAMEL: &str = "a FieldMask path does not survive lowerCamelCase";

/// The field of a type that has only one.
fn only(table: &MessageTable) -> Result<&FieldTable> {
    table.field_of_number(1).ok_or(Fail::Wire)
}

/// Refuses the numbers of a `Value` that JSON does not have.
fn finite(field: &FieldTable, bytes: &[u8], mut at: usize) -> Result {
    if field.number == 2 && !f64::from_le_bytes(wire::fixed(bytes, &mut at)?).is_finite() {
        return Err(Fail::Inexpressible("a Value holds a number that JSON cannot express"));
    }
    Ok(())
}
