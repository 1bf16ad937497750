//! The chain: each event is kept with a hash over the hash before it, its place and its content, so
//! that none can be changed, taken out or put in between without all that follow being wrong.
//!
//! It shows tampering to whoever knows the last hash, or compares it with one written down earlier. It
//! cannot show that everything after a point was made anew by somebody who can write the database.

use lightning_mesh::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, Outcome};
use crate::secrets;

/// The longest text of an event, in characters; longer ones are cut.
const MAX_TEXT: usize = 1_000;
/// The most details of an event.
const MAX_DETAILS: usize = 32;
/// What secrets of ours begin with, JWTs among them.
const SECRETS: [&str; 4] = ["lk_", "lrt_", "lcs_", "eyJ"];
/// How many characters after such a beginning make a secret of it.
const SECRET: usize = 20;

/// An event as it is kept, with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) sequence: i64,
    pub(crate) previous_hash: String,
    pub(crate) hash: String,
    /// The event as JSON, in the one form that was hashed.
    pub(crate) content: String,
    pub(crate) entry: Entry,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Microseconds.
    pub(crate) time: i64,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) subject: String,
    pub(crate) organization_id: String,
    pub(crate) actors: Vec<String>,
    pub(crate) client_id: String,
    pub(crate) address: String,
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    /// The service that saw it.
    pub(crate) service: String,
    pub(crate) details: Vec<(String, String)>,
}

/// Whether a part of the chain is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How many links were looked at.
    pub(crate) count: i64,
    /// The first place at which something is wrong or missing.
    pub(crate) broken: Option<i64>,
    /// Where to go on, if there is more.
    pub(crate) next: Option<i64>,
    /// The hash of the last link that is right.
    pub(crate) hash: String,
}

// === impl Entry ===

impl Entry {
    pub(crate) fn of(event: &Event, at: Timestamp) -> Self {
        let (kind, id) = event.resource.clone().unwrap_or_default();
        let details = event.details.iter();
        Self {
            time: at.as_micros(),
            action: event.action.to_owned(),
            outcome: event.outcome.name().to_owned(),
            subject: event.subject.clone(),
            organization_id: event.organization_id.clone(),
            actors: event.actors.clone(),
            client_id: event.client_id.clone().unwrap_or_default(),
            address: event.address.map(|address| address.to_string()).unwrap_or_default(),
            resource_type: kind.to_owned(),
            resource_id: id,
            service: "auth".to_owned(),
            details: details.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
        .clean()
    }

    /// The entry with bounded texts in which nothing looks like a secret.
    pub(crate) fn clean(mut self) -> Self {
        let texts = [
            &mut self.action,
            &mut self.outcome,
            &mut self.subject,
            &mut self.organization_id,
            &mut self.client_id,
            &mut self.address,
            &mut self.resource_type,
            &mut self.resource_id,
            &mut self.service,
        ];
        for text in texts {
            *text = clean(text);
        }
        self.actors.truncate(MAX_DETAILS);
        self.details.truncate(MAX_DETAILS);
        for actor in &mut self.actors {
            *actor = clean(actor);
        }
        for (name, value) in &mut self.details {
            *name = clean(name);
            *value = clean(value);
        }
        self
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::parse(&self.outcome).unwrap_or(Outcome::Failure)
    }
}

// === impl Link ===

impl Link {
    /// The link that follows a hash.
    pub(crate) fn forge(entry: Entry, sequence: i64, previous_hash: String) -> Self {
        let content = serde_json::to_string(&entry).expect("texts and numbers always serialize");
        let hash = hash(&previous_hash, sequence, &content);
        Self { sequence, previous_hash, hash, content, entry }
    }

    /// Whether it follows a hash and says what was hashed, in all its columns.
    pub(crate) fn follows(&self, sequence: i64, previous_hash: &str) -> bool {
        self.sequence == sequence
            && self.previous_hash == previous_hash
            && self.hash == hash(previous_hash, sequence, &self.content)
            && entry_of_content(&self.content).as_ref() == Some(&self.entry)
    }
}

/// Reads what [`Link::forge`] wrote.
pub(crate) fn entry_of_content(content: &str) -> Option<Entry> {
    serde_json::from_str(content).ok()
}

fn hash(previous_hash: &str, sequence: i64, content: &str) -> String {
    secrets::hash(format!("{previous_hash}\n{sequence}\n{content}"))
}

/// A text without control characters and without what looks like a secret.
fn clean(text: &str) -> String {
    let is_plain = text.len() <= SECRET && !text.chars().any(char::is_control);
    if is_plain {
        return text.to_owned();
    }
    let printable: String =
        text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let word = |word: &str| {
        let rest =
            SECRETS.iter().find_map(|start| word.find(start).map(|at| (at, word.len() - at)));
        match rest {
            Some((at, length)) if length > SECRET => format!("{}[removed]", &word[..at]),
            Some(_) | None => word.to_owned(),
        }
    };
    printable.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
