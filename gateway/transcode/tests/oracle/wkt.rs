//! The well-known types, from JSON: the ones whose form is not that of their fields.

use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use super::{JsonError, Wkt, decode::Decoder, lex::Next, number, scalar};

type Result<T> = std::result::Result<T, JsonError>;

impl Decoder<'_, '_> {
    pub(super) fn wkt(&mut self, wkt: Wkt, message: &mut DynamicMessage) -> Result<()> {
        match wkt {
            Wkt::Timestamp | Wkt::Duration | Wkt::FieldMask => {
                self.expect(Next::String)?;
                let offset = self.lex.offset();
                let text = self.lex.string()?;
                scalar::fill(message, wkt, &text, self.settings.style)
                    .map_err(|text| JsonError::new(offset, text))
            }
            Wkt::Wrapper => self.wrapper(message),
            Wkt::Struct => self.structure(message),
            Wkt::ListValue => self.list_value(message),
            Wkt::Value => self.any_json(message),
            Wkt::Any => self.any(message),
        }
    }

    fn wrapper(&mut self, message: &mut DynamicMessage) -> Result<()> {
        let field = message.descriptor().get_field(1).expect("a wrapper has field 1");
        if let Some(value) = self.value(&field.kind())? {
            message.set_field(&field, value);
        }
        Ok(())
    }

    fn structure(&mut self, message: &mut DynamicMessage) -> Result<()> {
        let field = message.descriptor().get_field(1).expect("a Struct has field 1");
        let Kind::Message(entry) = field.kind() else { return Ok(()) };
        let values = entry.map_entry_value_field().kind();
        self.expect(Next::Object)?;
        self.lex.enter()?;
        let mut first = true;
        let mut map = std::collections::HashMap::new();
        while let Some((text, offset)) = self.lex.key(&mut first)? {
            let value = self.deeper(|decoder| decoder.value(&values));
            let value = value.map_err(|error| error.under_key(&text))?;
            let twice =
                value.and_then(|value| map.insert(MapKey::String(text.clone().into()), value));
            if twice.is_some() {
                let error = JsonError::new(offset, "the key is given twice");
                return Err(error.under_key(&text));
            }
        }
        message.set_field(&field, Value::Map(map));
        Ok(())
    }

    fn list_value(&mut self, message: &mut DynamicMessage) -> Result<()> {
        let field = message.descriptor().get_field(1).expect("a ListValue has field 1");
        let list = self.list(&field.kind())?;
        message.set_field(&field, list);
        Ok(())
    }

    /// Reads any JSON at all into a `google.protobuf.Value`.
    fn any_json(&mut self, message: &mut DynamicMessage) -> Result<()> {
        let offset = self.lex.offset();
        let (number, value) = match self.lex.peek()? {
            Next::Null => {
                self.lex.null()?;
                (1, Value::EnumNumber(0))
            }
            Next::Number => {
                let value = number::double(self.lex.number()?);
                (2, Value::F64(value.map_err(|text| JsonError::new(offset, text))?))
            }
            Next::String => (3, Value::String(self.lex.string()?.into_owned())),
            Next::Bool => (4, Value::Bool(self.lex.bool()?)),
            next @ (Next::Object | Next::Array) => {
                let number = if next == Next::Object { 5 } else { 6 };
                let field = message.descriptor().get_field(number);
                let field = field.expect("a Value holds a Struct and a ListValue");
                let Kind::Message(inner) = field.kind() else { return Ok(()) };
                (number, Value::Message(self.deeper(|decoder| decoder.message_value(&inner))?))
            }
        };
        message.set_field_by_number(number, value);
        Ok(())
    }

    /// Reads an `Any`: the type may stand anywhere in the object, so it is looked for first.
    fn any(&mut self, message: &mut DynamicMessage) -> Result<()> {
        self.expect(Next::Object)?;
        let offset = self.lex.offset();
        let Some(url) = self.any_type()? else {
            return Ok(());
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let inner = match self.settings.pool.get_message_by_name(name) {
            Some(inner) if url.contains('/') => inner,
            Some(_) | None => {
                let text = format!("{url:?} is not a known type");
                return Err(JsonError::new(offset, text).under("@type"));
            }
        };
        // The content is bytes to whoever decodes the `Any`, so its depth counts anew.
        let value = self.at_depth(0, |decoder| match Wkt::of(&inner) {
            Some(_) => decoder.any_value(&inner),
            None => {
                let mut value = DynamicMessage::new(inner.clone());
                decoder.object(&mut value, &inner, Some("@type"))?;
                Ok(value)
            }
        })?;
        let bytes = prost::Message::encode_to_vec(&value);
        message.set_field_by_number(1, Value::String(url));
        message.set_field_by_number(2, Value::Bytes(bytes.into()));
        Ok(())
    }

    /// Looks ahead for `@type`. An empty object is an empty `Any` and is consumed.
    fn any_type(&mut self) -> Result<Option<String>> {
        let mut ahead = self.lex.clone();
        ahead.enter()?;
        let offset = ahead.offset();
        let mut first = true;
        let mut url = None;
        let mut empty = true;
        while let Some((key, offset)) = ahead.key(&mut first)? {
            empty = false;
            if key != "@type" {
                ahead.skip()?;
                continue;
            }
            if ahead.peek()? != Next::String {
                return Err(JsonError::new(ahead.offset(), "a string is expected").under("@type"));
            }
            if url.replace(ahead.string()?.into_owned()).is_some() {
                let error = JsonError::new(offset, "the key is given twice");
                return Err(error.under("@type"));
            }
        }
        if empty {
            self.lex = ahead;
            return Ok(None);
        }
        match url {
            Some(url) => Ok(Some(url)),
            None => Err(JsonError::new(offset, "@type is missing").under("@type")),
        }
    }

    /// Reads `{"@type": …, "value": …}` of a type with a form of its own.
    fn any_value(&mut self, of: &MessageDescriptor) -> Result<DynamicMessage> {
        let offset = self.lex.offset();
        self.lex.enter()?;
        let mut first = true;
        let mut value = None;
        while let Some((key, offset)) = self.lex.key(&mut first)? {
            match &*key {
                "@type" => self.lex.skip()?,
                "value" if value.is_none() => {
                    let read = self.message_value(of).map_err(|error| error.under("value"))?;
                    value = Some(read);
                }
                "value" => {
                    let error = JsonError::new(offset, "the key is given twice");
                    return Err(error.under("value"));
                }
                _ if self.settings.ignore_unknown => self.lex.skip()?,
                _ => {
                    let text = format!("a {} has only @type and value", of.name());
                    return Err(JsonError::new(offset, text).under(&key));
                }
            }
        }
        value.ok_or_else(|| JsonError::new(offset, "value is missing").under("value"))
    }
}
