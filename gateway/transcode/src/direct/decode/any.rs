//! `google.protobuf.Any`, whose content cannot be read before its type is known.
//!
//! The type may stand anywhere in the object. Where it comes first, as nearly everybody writes it, the
//! text is read once. Otherwise it is looked for ahead; `Any`s inside each other would each read all
//! that is inside them again, so what is read ahead is bounded by a multiple of the text.

use super::{Decoder, Result};
use crate::{
    direct::out,
    json::{JsonError, Reason, lex::Next},
    tables::{MessageId, MessageTable},
};

/// The key of the type.
pub(super) const TYPE: &str = "@type";
const QUOTED_TYPE: &[u8] = b"\"@type\":";

/// How many times the length of a text may be read ahead.
const TIMES: usize = 8;

/// The bytes that may be read ahead in a text of a length.
pub(super) fn read_ahead(length: usize) -> usize {
    length.saturating_mul(TIMES)
}

impl<'c> Decoder<'_, 'c, '_> {
    /// Reads an `Any` and writes its content.
    pub(super) fn any(&mut self) -> Result<()> {
        self.expect(Next::Object)?;
        let offset = self.lex.offset();
        let before = self.lex.clone();
        self.lex.enter()?;
        let mut first = true;
        if !self.lex.member(&mut first)? {
            return Ok(());
        }
        let leads = self.lex.takes(QUOTED_TYPE);
        let of = if leads && self.lex.peek()? == Next::String {
            first = false;
            let start = self.out.len();
            self.string(&[0x0a], false)?;
            self.any_type(start, offset)?
        } else {
            self.lex = before;
            let url = self.look_ahead()?;
            let start = self.out.len();
            out::bytes(self.out, &[0x0a], url.as_bytes());
            self.lex.enter()?;
            first = true;
            self.any_type(start, offset)?
        };
        let part = out::open(self.out, &[0x12]);
        // The content is bytes to whoever decodes the `Any`, so its depth counts anew.
        let depth = std::mem::replace(&mut self.wire_depth, 0);
        let table = self.tables.message(of);
        let read = match table.wkt {
            Some(_) => self.any_value(of, table, &mut first, offset),
            None => self.members(table, &mut first, true),
        };
        self.wire_depth = depth;
        read?;
        if out::is_empty(self.out, &part) {
            out::abandon(self.out, part, &[0x12]);
        } else {
            out::close(self.out, part);
        }
        Ok(())
    }

    /// Finds the type whose URL has been written at `start`.
    fn any_type(&self, start: usize, offset: usize) -> Result<MessageId> {
        let written = &self.out[start + 1..];
        let length = written.iter().position(|byte| *byte < 0x80).map_or(0, |last| last + 1);
        let url = std::str::from_utf8(&written[length..]).unwrap_or_default();
        let name = url.rsplit_once('/').map(|(_, name)| name);
        name.and_then(|name| self.tables.own(name)).ok_or_else(|| {
            let text = format!("{url:?} is not a known type");
            JsonError::invalid(offset, text).under(TYPE)
        })
    }

    /// Looks for the type further on in the object that comes next.
    fn look_ahead(&mut self) -> Result<String> {
        let mut ahead = self.lex.clone();
        ahead.enter()?;
        let offset = ahead.offset();
        let mut first = true;
        let mut url = None;
        while let Some((key, offset)) = ahead.key(&mut first)? {
            if key != TYPE {
                ahead.skip()?;
                continue;
            }
            if ahead.peek()? != Next::String {
                return Err(JsonError::invalid(ahead.offset(), "a string is expected").under(TYPE));
            }
            if url.replace(ahead.string()?.into_owned()).is_some() {
                return Err(twice(offset));
            }
        }
        let read = ahead.offset() - offset;
        let Some(left) = self.ahead.checked_sub(read) else {
            let text = "@type must come first where Any nests this deep";
            return Err(JsonError::invalid(offset, text).under(TYPE));
        };
        self.ahead = left;
        url.ok_or_else(|| JsonError::invalid(offset, "@type is missing").under(TYPE))
    }

    /// Passes over the key of the type; it is refused when the type has been read already.
    pub(super) fn again(&mut self, typed: bool, offset: usize) -> Result<()> {
        if typed {
            return Err(twice(offset));
        }
        self.lex.skip()
    }

    /// Reads `{"@type": …, "value": …}` of a type with a form of its own.
    fn any_value(
        &mut self,
        id: MessageId,
        of: &'c MessageTable,
        first: &mut bool,
        start: usize,
    ) -> Result<()> {
        let typed = !*first;
        let mut given = false;
        while let Some((key, offset)) = self.lex.key(first)? {
            match &*key {
                TYPE => self.again(typed, offset)?,
                "value" if given => {
                    let error = JsonError::new(Reason::Malformed, offset, "the key is given twice");
                    return Err(error.under("value"));
                }
                "value" => {
                    self.message_value(id).map_err(|error| error.under("value"))?;
                    given = true;
                }
                _ if self.ignore_unknown => self.lex.skip()?,
                _ => {
                    let text = format!("a {} has only @type and value", of.name);
                    return Err(JsonError::new(Reason::UnknownField, offset, text).under(&key));
                }
            }
        }
        if given {
            return Ok(());
        }
        Err(JsonError::invalid(start, "value is missing").under("value"))
    }
}

fn twice(offset: usize) -> JsonError {
    JsonError::new(Reason::Malformed, offset, "the key is given twice").under(TYPE)
}
