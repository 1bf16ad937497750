//! The matcher: a tree of segments, walked with backtracking.
//!
//! At each segment a literal is tried before `*` and `*` before `**`, and a dead end goes back: with
//! `/a/{x}/c` and `/a/b/d`, the path `/a/b/c` reaches the first. A node of the tree can be reached by
//! one sequence of segments only, so a search visits each node once at most: its time is bounded by
//! the size of the tree, its recursion by the longest template, whatever the request sends.
//!
//! A verb is split at the last colon of the last segment, only if some template that fits the rest
//! has that verb; otherwise the colon belongs to the value.

use std::collections::{BTreeSet, HashMap};

use http::Method;
use percent_encoding::percent_decode_str;

use super::{Found, Route};
use crate::template::{Segment, Template, Variable, well_escaped};

/// All templates of a set of routes.
#[derive(Default)]
pub(super) struct Tree {
    root: Node,
    /// The template of each route, by the route's index.
    templates: Vec<Template>,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Vec<u8>, Node>,
    one: Option<Box<Node>>,
    /// The routes of templates that end here.
    here: Vec<Leaf>,
    /// The routes of templates that end here with `**`.
    many: Vec<Leaf>,
}

struct Leaf {
    verb: Option<String>,
    method: Method,
    route: usize,
}

/// The method of a rule with `kind: "*"`.
pub(super) const ANY: &[u8] = b"*";

impl Tree {
    /// Adds the next route; the index of an equal one (same path, verb and method) is an error.
    pub(super) fn insert(&mut self, method: &Method, template: Template) -> Result<(), usize> {
        let route = self.templates.len();
        let mut node = &mut self.root;
        let mut many = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Many => many = true,
            }
        }
        let leaves = if many { &mut node.many } else { &mut node.here };
        let same = |leaf: &&Leaf| leaf.verb == template.verb && leaf.method == *method;
        let twin = leaves.iter().find(same).map(|leaf| leaf.route);
        leaves.push(Leaf { verb: template.verb.clone(), method: method.clone(), route });
        self.templates.push(template);
        twin.map_or(Ok(()), Err)
    }

    pub(super) fn find<'r>(&self, routes: &'r [Route], method: &Method, path: &str) -> Found<'r> {
        if let Some(message) = unreadable(path) {
            return Found::BadPath { message: message.to_owned() };
        }
        let Some(rest) = path.strip_prefix('/') else { return Found::NotFound };
        let segments: Vec<&str> = rest.split('/').collect();

        let mut fits = Vec::new();
        if let Some((stripped, verb)) = split_verb(&segments) {
            self.root.collect(&stripped, Some(verb), &mut fits);
        }
        if fits.is_empty() {
            self.root.collect(&segments, None, &mut fits);
        }
        let Some(leaf) = choose(&fits, method) else { return refusal(&fits) };

        let template = &self.templates[leaf.route];
        let plain: Vec<&str> = match &leaf.verb {
            Some(verb) => strip_last(&segments, verb.len() + 1),
            None => segments,
        };
        let captures = template.variables.iter().map(|variable| capture(variable, &plain));
        match captures.collect::<Option<Vec<String>>>() {
            Some(captures) => Found::Match { route: &routes[leaf.route], captures },
            None => {
                Found::BadPath { message: "the path holds bytes that are not UTF-8".to_owned() }
            }
        }
    }
}

impl Node {
    /// Collects the leaves that fit, the most specific first.
    fn collect<'n>(&'n self, rest: &[&str], verb: Option<&str>, fits: &mut Vec<&'n Leaf>) {
        let with_verb = |leaf: &&'n Leaf| leaf.verb.as_deref() == verb;
        if rest.is_empty() {
            fits.extend(self.here.iter().filter(with_verb));
        }
        if let Some((first, tail)) = rest.split_first()
            && !first.is_empty()
        {
            let decoded: Vec<u8> = percent_decode_str(first).collect();
            if let Some(node) = self.literals.get(&decoded) {
                node.collect(tail, verb, fits);
            }
            if let Some(node) = &self.one {
                node.collect(tail, verb, fits);
            }
        }
        // `**` takes zero segments, which a trailing slash may or may not announce.
        if rest == [""] || rest.iter().all(|segment| !segment.is_empty()) {
            fits.extend(self.many.iter().filter(with_verb));
        }
    }
}

/// Chooses by method: the exact one, `GET` for `HEAD`, then a rule for every method.
fn choose<'n>(fits: &[&'n Leaf], method: &Method) -> Option<&'n Leaf> {
    let of = |wanted: &Method| fits.iter().copied().find(|leaf| leaf.method == *wanted);
    of(method)
        .or_else(|| if *method == Method::HEAD { of(&Method::GET) } else { None })
        .or_else(|| fits.iter().copied().find(|leaf| leaf.method.as_str().as_bytes() == ANY))
}

fn refusal<'r>(fits: &[&Leaf]) -> Found<'r> {
    if fits.is_empty() {
        return Found::NotFound;
    }
    let mut allow: BTreeSet<&str> = fits.iter().map(|leaf| leaf.method.as_str()).collect();
    if allow.contains("GET") {
        allow.insert("HEAD");
    }
    allow.insert("OPTIONS");
    Found::MethodNotAllowed { allow: allow.into_iter().collect::<Vec<_>>().join(", ") }
}

/// Says why a path is refused before it is compared with anything.
fn unreadable(path: &str) -> Option<&'static str> {
    if !well_escaped(path) {
        return Some("the path holds a percent sign without two hexadecimal digits");
    }
    let dots = |segment: &str| {
        let mut decoded = percent_decode_str(segment);
        match (decoded.next(), decoded.next(), decoded.next()) {
            (Some(b'.'), None, _) => true,
            (Some(b'.'), Some(b'.'), None) => true,
            (_, _, _) => false,
        }
    };
    path.split('/').any(dots).then_some("the path holds a dot segment")
}

fn split_verb<'p>(segments: &[&'p str]) -> Option<(Vec<&'p str>, &'p str)> {
    let (_, verb) = segments.last()?.rsplit_once(':')?;
    Some((strip_last(segments, verb.len() + 1), verb))
}

/// The segments without the last `bytes` bytes of the last one.
fn strip_last<'p>(segments: &[&'p str], bytes: usize) -> Vec<&'p str> {
    let mut stripped = segments.to_vec();
    if let Some(last) = stripped.last_mut() {
        *last = &last[..last.len() - bytes];
    }
    stripped
}

/// Decodes what a variable captured; `None` when it is not UTF-8.
///
/// A capture of one segment is decoded whole; in a longer one an encoded slash stays encoded, so
/// that it can be told from a separator.
fn capture(variable: &Variable, segments: &[&str]) -> Option<String> {
    let end = if variable.rest { segments.len() } else { variable.end };
    let parts = segments.get(variable.start..end).unwrap_or_default();
    if !variable.multi() {
        return decode(parts.first().copied().unwrap_or_default());
    }
    let mut whole = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            whole.push('/');
        }
        whole.push_str(&decode_but_slash(part)?);
    }
    Some(whole)
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn decode_but_slash(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("%2F").into_iter().chain(rest.find("%2f")).min() {
        decoded.push_str(&decode(&rest[..at])?);
        decoded.push_str(&rest[at..at + 3]);
        rest = &rest[at + 3..];
    }
    decoded.push_str(&decode(rest)?);
    Some(decoded)
}
