//! Query parameters and form pairs, bound to the fields that the path and the body leave.
//!
//! Names are dotted paths in proto or JSON names, values have ProtoJSON's plain forms. Everything
//! that would be silently lost or silently chosen is refused with the parameter named: unknown names,
//! a scalar given twice, two members of one oneof, messages, a key without a value. As an extension,
//! `labels[env]=prod` sets an entry of a map.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use percent_encoding::percent_decode_str;

use super::{Draft, message_of};
use crate::{
    Options, Route,
    direct::{out, plain},
    routes::BodyRule,
    status::Refusal,
    suggest,
    tables::{FieldTable, MessageTable, Shape, Tables},
    template::well_escaped,
};

/// The longest query, in bytes.
pub(crate) const MAX_QUERY: usize = 32 * 1024;
/// The most pairs in a query or a form.
const MAX_PAIRS: usize = 1000;
/// The most fields in one name.
const MAX_DEPTH: usize = 64;

/// Binds pairs to one message.
pub(super) struct Binder<'d, 'r> {
    draft: &'d mut Draft<'r>,
    route: &'r Route,
    system: &'r [String],
    /// Singular fields that are set, by path.
    taken: Vec<String>,
    /// Keys of maps that are set, by the map's path and the bytes of the key.
    entries: HashSet<(String, Vec<u8>)>,
    /// The member that is set of each oneof, by the path of its message and its index.
    chosen: HashMap<(String, u32), &'r str>,
}

/// A resolved name.
struct Target<'r> {
    fields: Vec<&'r FieldTable>,
    /// The dotted path in proto names.
    path: String,
    /// The key in brackets.
    key: Option<String>,
}

type Result<T> = std::result::Result<T, Refusal>;

impl<'d, 'r> Binder<'d, 'r> {
    pub(super) fn new(draft: &'d mut Draft<'r>, route: &'r Route, options: &'r Options) -> Self {
        let mut binder = Self {
            draft,
            route,
            system: &options.system_parameters,
            taken: Vec::new(),
            entries: HashSet::new(),
            chosen: HashMap::new(),
        };
        for field in route.bound() {
            // Two path fields of one oneof are the contract's doing; the last one stands.
            let chain = binder.draft.chain(&field.fields);
            drop(binder.choose(&chain, &field.path));
        }
        if let BodyRule::Field(field) = route.body() {
            let chain = binder.draft.chain(std::slice::from_ref(field));
            drop(binder.choose(&chain, field.name()));
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
        let target = match resolve(self.draft.tables(), self.draft.of, name) {
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

    fn set(&mut self, name: &str, target: &Target<'r>, text: &str) -> Result<()> {
        let invalid = |text: String| Refusal::field("INVALID_VALUE", name, text);
        if let Some(text) = self.choose(&target.fields, &target.path) {
            return Err(invalid(text));
        }
        let field = target.fields.last().expect("a target has a field");
        let (tables, style) = (self.draft.tables(), self.draft.codec.style);
        if field.shape == Shape::Map {
            let Some(key) = &target.key else {
                return Err(invalid(format!("a map is written {}[key]=value", field.name)));
            };
            return self.entry(target, key, text).map_err(invalid);
        }
        if target.key.is_some() {
            return Err(invalid(format!("{} is not a map", field.name)));
        }
        let written = self
            .draft
            .set(&target.fields, |leaf, out| plain::field(tables, leaf, text, style, true, out));
        written.unwrap_or(Ok(())).map_err(invalid)?;
        if field.shape != Shape::Singular {
            return Ok(());
        }
        if self.taken.contains(&target.path) {
            return Err(invalid("the parameter is given twice".to_owned()));
        }
        self.taken.push(target.path.clone());
        Ok(())
    }

    /// Writes an entry of a map.
    fn entry(
        &mut self,
        target: &Target<'r>,
        key: &str,
        text: &str,
    ) -> std::result::Result<(), String> {
        let (tables, style) = (self.draft.tables(), self.draft.codec.style);
        let written = self.draft.set(&target.fields, |map, out| {
            let Some(entry) = message_of(map) else { return Ok::<_, String>(Vec::new()) };
            let [keys, values] = &*tables.message(entry).fields else { return Ok(Vec::new()) };
            let part = out::open(out, map.tag.bytes());
            let start = out.len();
            plain::map_key(keys, key, out)?;
            let key = out[start..].to_vec();
            plain::field(tables, values, text, style, false, out)?;
            out::close(out, part);
            Ok(key)
        });
        let key = written.unwrap_or_else(|| Ok(Vec::new()))?;
        if self.entries.insert((target.path.clone(), key)) {
            return Ok(());
        }
        Err("the key is given twice".to_owned())
    }

    /// Notes the members of oneofs along a path; says why when another member is set already.
    fn choose(&mut self, fields: &[&'r FieldTable], path: &str) -> Option<String> {
        let mut end = 0;
        for field in fields {
            let start = end;
            end = (start + field.name.len() + 1).min(path.len() + 1);
            let Some(oneof) = field.oneof else { continue };
            let key = (path[..start].to_owned(), oneof);
            let known = *self.chosen.entry(key).or_insert(&field.name);
            if *known != *field.name {
                return Some(format!("{known} is given too, and only one of them may be"));
            }
        }
        None
    }
}

/// Whether one path is the other or lies under it.
fn overlaps(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Finds the fields that a name means.
fn resolve<'r>(tables: &'r Tables, input: &'r MessageTable, name: &str) -> Result<Target<'r>> {
    let shown = || name.chars().take(128).collect::<String>();
    let (dotted, key) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((dotted, key)) => (dotted, Some(key.to_owned())),
        None => (name, None),
    };
    if dotted.split('.').count() > MAX_DEPTH {
        let text = format!("a name has at most {MAX_DEPTH} parts");
        return Err(Refusal::field("INVALID_VALUE", shown(), text));
    }
    let mut message = Some(input);
    let mut fields: Vec<&FieldTable> = Vec::new();
    let mut path = String::with_capacity(dotted.len() + 8);
    for part in dotted.split('.') {
        let Some(of) = message.take() else {
            let last = fields.last().map(|field| &*field.name).unwrap_or_default();
            let text = format!("{last} has no fields to name");
            return Err(Refusal::field("UNKNOWN_FIELD", shown(), text));
        };
        let Some(slot) = of.slot_of_name(part.as_bytes()) else {
            return Err(unknown(of, part, shown()));
        };
        let field = &of.fields[slot];
        if field.shape == Shape::Singular
            && let Some(inner) = message_of(field).map(|id| tables.message(id))
            && inner.wkt.is_none()
        {
            message = Some(inner);
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&field.name);
        fields.push(field);
    }
    Ok(Target { fields, path, key })
}

fn unknown(of: &MessageTable, part: &str, shown: String) -> Refusal {
    let text = match suggest::nearest(part, of.fields.iter().map(|field| &*field.name)) {
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
