//! Query parameters and form pairs, bound to the fields that the path and the body leave.
//!
//! Names are dotted paths in proto or JSON names, values have ProtoJSON's plain forms. Everything
//! that would be silently lost or silently chosen is refused with the parameter named: unknown names,
//! a scalar given twice, two members of one oneof, messages, a key without a value. As an extension,
//! `labels[env]=prod` sets an entry of a map.

use std::{borrow::Cow, collections::HashMap};

use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::set;
use crate::{
    JsonStyle, Options, Route,
    json::{Wkt, scalar},
    routes::BodyRule,
    status::Refusal,
    suggest,
    template::well_escaped,
};

/// The longest query, in bytes.
pub(crate) const MAX_QUERY: usize = 32 * 1024;
/// The most pairs in a query or a form.
const MAX_PAIRS: usize = 1000;
/// The most fields in one name.
const MAX_DEPTH: usize = 64;

/// Binds pairs to one message.
pub(super) struct Binder<'m> {
    message: &'m mut DynamicMessage,
    route: &'m Route,
    system: &'m [String],
    style: JsonStyle,
    /// Singular fields that are set, by path.
    taken: Vec<String>,
    /// The member that is set of each oneof, by the path and name of the oneof.
    chosen: HashMap<String, String>,
}

/// A resolved name.
struct Target {
    fields: Vec<FieldDescriptor>,
    /// The dotted path in proto names.
    path: String,
    /// The key in brackets.
    key: Option<String>,
}

type Result<T> = std::result::Result<T, Refusal>;

impl<'m> Binder<'m> {
    pub(super) fn new(
        message: &'m mut DynamicMessage,
        route: &'m Route,
        options: &'m Options,
    ) -> Self {
        let (system, style) = (&options.system_parameters, options.json);
        let mut binder =
            Self { message, route, system, style, taken: Vec::new(), chosen: HashMap::new() };
        for field in route.bound() {
            // Two path fields of one oneof are the contract's doing; the last one stands.
            drop(binder.choose(&field.fields, &field.path));
        }
        if let BodyRule::Field(field) = route.body() {
            drop(binder.choose(std::slice::from_ref(field), field.name()));
        }
        binder
    }

    /// Binds a query string.
    pub(super) fn query(&mut self, text: &str) -> Result<()> {
        self.pairs(text, false, &[])
    }

    /// Binds a form body, where a plus is a space.
    pub(super) fn form(&mut self, text: &str, captures: &[String]) -> Result<()> {
        if text.trim_start().starts_with('{') {
            let hint = "the body looks like JSON: send it with content-type: application/json";
            return Err(Refusal::field("INVALID_VALUE", "", hint));
        }
        self.pairs(text, true, captures)
    }

    fn pairs(&mut self, text: &str, form: bool, captures: &[String]) -> Result<()> {
        let pieces = || text.split('&').filter(|piece| !piece.is_empty());
        if pieces().count() > MAX_PAIRS {
            let message = format!("more than {MAX_PAIRS} parameters");
            return Err(Refusal::field("INVALID_VALUE", "", message));
        }
        for piece in pieces() {
            let Some((name, value)) = piece.split_once('=') else {
                let name = decode(piece, form).unwrap_or_default();
                return Err(Refusal::field(
                    "INVALID_VALUE",
                    name,
                    "a value is expected: name=value",
                ));
            };
            let broken = || {
                let text = "a broken percent escape or bytes that are not UTF-8";
                Refusal::field("INVALID_VALUE", name.chars().take(64).collect::<String>(), text)
            };
            let name = decode(name, form).ok_or_else(broken)?;
            let value = decode(value, form).ok_or_else(broken)?;
            if name.is_empty() {
                return Err(Refusal::field("INVALID_VALUE", "", "a parameter has no name"));
            }
            self.pair(&name, &value, form.then_some(captures))?;
        }
        Ok(())
    }

    /// Binds one pair; `captures` are given for a form, which may repeat what the path says.
    fn pair(&mut self, name: &str, value: &str, captures: Option<&[String]>) -> Result<()> {
        let target = match resolve(&self.route.plan.input, name) {
            Ok(target) => target,
            Err(_) if self.system.iter().any(|system| system == name) => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        if let Some(at) =
            self.route.bound().iter().position(|field| overlaps(&field.path, &target.path))
        {
            let same = captures.and_then(|captures| captures.get(at)).is_some_and(|it| it == value);
            let exact = self.route.bound()[at].path == target.path;
            if same && exact {
                return Ok(());
            }
            return Err(Refusal::field("DISAGREEMENT", name, "the field is set by the path"));
        }
        match self.route.body() {
            BodyRule::All if captures.is_none() => {
                let text = "this operation takes all its fields from the body, not from the query";
                return Err(Refusal::field("DISAGREEMENT", name, text));
            }
            BodyRule::Field(field) if overlaps(field.name(), &target.path) => {
                return Err(Refusal::field("DISAGREEMENT", name, "the field is set by the body"));
            }
            BodyRule::None | BodyRule::All | BodyRule::Field(_) => {}
        }
        self.set(name, &target, value)
    }

    fn set(&mut self, name: &str, target: &Target, text: &str) -> Result<()> {
        let invalid = |text: String| Refusal::field("INVALID_VALUE", name, text);
        if let Some(text) = self.choose(&target.fields, &target.path) {
            return Err(invalid(text));
        }
        let field = target.fields.last().expect("a target has a field");
        let kind = field.kind();
        if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
            let Some(key) = &target.key else {
                return Err(invalid(format!("a map is written {}[key]=value", field.name())));
            };
            let key = scalar::key(&entry.map_entry_key_field().kind(), key).map_err(invalid)?;
            let values = entry.map_entry_value_field().kind();
            let value = scalar::parse(&values, text, self.style).map_err(invalid)?;
            let twice = slot(self.message, &target.fields)
                .and_then(Value::as_map_mut)
                .and_then(|map| map.insert(key, value));
            return match twice {
                Some(_) => Err(invalid("the key is given twice".to_owned())),
                None => Ok(()),
            };
        }
        if target.key.is_some() {
            return Err(invalid(format!("{} is not a map", field.name())));
        }
        let value = scalar::parse(&kind, text, self.style).map_err(invalid)?;
        if field.is_list() {
            if let Some(list) = slot(self.message, &target.fields).and_then(Value::as_list_mut) {
                list.push(value);
            }
            return Ok(());
        }
        if self.taken.contains(&target.path) {
            return Err(invalid("the parameter is given twice".to_owned()));
        }
        self.taken.push(target.path.clone());
        set(self.message, &target.fields, value);
        Ok(())
    }

    /// Notes the members of oneofs along a path; says why when another member is set already.
    fn choose(&mut self, fields: &[FieldDescriptor], path: &str) -> Option<String> {
        let mut end = 0;
        for field in fields {
            let start = end;
            end = (start + field.name().len() + 1).min(path.len() + 1);
            let Some(oneof) = field.containing_oneof() else { continue };
            let key = format!("{}{}", &path[..start], oneof.name());
            let known = self.chosen.entry(key).or_insert_with(|| field.name().to_owned());
            if known != field.name() {
                return Some(format!("{known} is given too, and only one of them may be"));
            }
        }
        None
    }
}

/// The value at the end of a chain of message fields.
fn slot<'m>(message: &'m mut DynamicMessage, fields: &[FieldDescriptor]) -> Option<&'m mut Value> {
    let (first, rest) = fields.split_first()?;
    let value = message.get_field_mut(first);
    if rest.is_empty() { Some(value) } else { slot(value.as_message_mut()?, rest) }
}

/// Whether one path is the other or lies under it.
fn overlaps(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Finds the fields that a name means.
fn resolve(input: &MessageDescriptor, name: &str) -> Result<Target> {
    let shown = || name.chars().take(128).collect::<String>();
    let (dotted, key) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((dotted, key)) => (dotted, Some(key.to_owned())),
        None => (name, None),
    };
    if dotted.split('.').count() > MAX_DEPTH {
        let text = format!("a name has at most {MAX_DEPTH} parts");
        return Err(Refusal::field("INVALID_VALUE", shown(), text));
    }
    let mut message = Some(input.clone());
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    for part in dotted.split('.') {
        let Some(of) = message.take() else {
            let last = fields.last().map(|field| field.name().to_owned()).unwrap_or_default();
            let text = format!("{last} has no fields to name");
            return Err(Refusal::field("UNKNOWN_FIELD", shown(), text));
        };
        let found = of.get_field_by_name(part).or_else(|| of.get_field_by_json_name(part));
        let Some(field) = found else { return Err(unknown(&of, part, shown())) };
        if let Kind::Message(inner) = field.kind()
            && !field.is_list()
            && !field.is_map()
            && Wkt::of(&inner).is_none()
        {
            message = Some(inner);
        }
        fields.push(field);
    }
    let path = fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".");
    Ok(Target { fields, path, key })
}

fn unknown(of: &MessageDescriptor, part: &str, shown: String) -> Refusal {
    let fields: Vec<FieldDescriptor> = of.fields().collect();
    let text = match suggest::nearest(part, fields.iter().map(FieldDescriptor::name)) {
        Some(near) => format!("there is no such parameter; did you mean {near:?}?"),
        None => "there is no such parameter".to_owned(),
    };
    Refusal::field("UNKNOWN_FIELD", shown, text)
}

/// Decodes a name or a value; `None` when it is broken.
fn decode(text: &str, form: bool) -> Option<String> {
    if !well_escaped(text) {
        return None;
    }
    let text = if form { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}
