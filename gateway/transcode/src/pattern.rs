//! The set of paths that a template matches, to tell whether two of them can ever meet.
//!
//! Whoever puts routes of different owners on one port must know that no path belongs to two of them.
//! The answer is exact for templates without verbs. With a verb on one side only it errs towards yes:
//! `*` may hold a colon and the verb, so such a pair counts as meeting.

use crate::template::{Segment, Template};

#[cfg(test)]
mod tests;

/// A set of paths.
#[derive(Clone, Debug)]
pub struct Pattern {
    segments: Vec<Segment>,
    verb: Option<String>,
}

impl Pattern {
    /// The paths of a template; `None` if it is not one.
    pub fn parse(template: &str) -> Option<Self> {
        let Template { segments, verb, .. } = Template::parse(template).ok()?;
        Some(Self { segments, verb })
    }

    /// A prefix and everything below it. The prefix `/` is the root alone.
    pub fn below(prefix: &str) -> Self {
        let literals = prefix.split('/').filter(|segment| !segment.is_empty());
        let mut segments: Vec<_> =
            literals.map(|segment| Segment::Literal(segment.as_bytes().to_vec())).collect();
        if !segments.is_empty() {
            segments.push(Segment::Many);
        }
        Self { segments, verb: None }
    }

    /// Whether some path belongs to both.
    pub fn meets(&self, other: &Self) -> bool {
        match (&self.verb, &other.verb) {
            (Some(mine), Some(theirs)) if mine != theirs => false,
            (Some(_), Some(_)) | (None, None) => meet(&self.segments, &other.segments),
            (Some(_), None) => meet(&self.with_verb_inside(), &other.segments),
            (None, Some(_)) => meet(&self.segments, &other.with_verb_inside()),
        }
    }

    /// The segments with the verb as a part of the last one, as a template without verb sees it.
    fn with_verb_inside(&self) -> Vec<Segment> {
        let mut segments = self.segments.clone();
        if let (Some(Segment::Literal(last)), Some(verb)) = (segments.last_mut(), &self.verb) {
            last.push(b':');
            last.extend_from_slice(verb.as_bytes());
        }
        segments
    }
}

fn meet(one: &[Segment], other: &[Segment]) -> bool {
    match (one.split_first(), other.split_first()) {
        (None, None) => true,
        // `**` stands last and takes any rest, also none.
        (Some((Segment::Many, _)), _) | (_, Some((Segment::Many, _))) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some((Segment::Literal(mine), rest)), Some((Segment::Literal(theirs), others))) => {
            mine == theirs && meet(rest, others)
        }
        (Some((_, rest)), Some((_, others))) => meet(rest, others),
    }
}
