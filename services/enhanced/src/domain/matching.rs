//! Which agent fits a text best: a deterministic score over words.
//!
//! Each distinct word of the task that an agent's name, description or instructions has too counts 6,
//! 3 and 1 points. Words are compared in lower case, without the most frequent English and German
//! ones, and without the endings of plurals and verbs. The most points win, then the newest agent. If
//! no word fits, whoever talks or executes tasks is preferred, then the newest.
//! A model would judge better, but not the same way twice, and not for free.

use std::collections::HashSet;

use lightning_mesh::clock::Timestamp;

#[cfg(test)]
mod tests;

const NAME: u32 = 6;
const DESCRIPTION: u32 = 3;
const INSTRUCTIONS: u32 = 1;

/// Types of agents that can take any task.
const GENERALISTS: [&str; 2] = ["conversational", "task_executor"];

/// Words that say nothing about what is to be done.
const STOP_WORDS: [&str; 62] = [
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "could",
    "das", "dem", "den", "der", "die", "do", "does", "ein", "eine", "for", "from", "has", "have",
    "how", "i", "if", "in", "is", "ist", "it", "its", "me", "mit", "my", "not", "of", "on", "or",
    "our", "please", "so", "that", "the", "their", "them", "then", "this", "to", "und", "was",
    "we", "what", "when", "which", "will", "with", "you", "your",
];

/// What is known of an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) instructions: &'a str,
    pub(crate) agent_type: &'a str,
}

/// An agent that could take a task. The greatest is the best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    score: u32,
    /// Only counts if no word fits.
    generalist: bool,
    create_time: Timestamp,
    pub(crate) id: String,
}

/// The words of a task.
pub(crate) struct Words(HashSet<String>);

// === impl Words ===

impl Words {
    pub(crate) fn of(text: &str) -> Self {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let words =
            words.map(str::to_lowercase).filter(|word| !STOP_WORDS.contains(&word.as_str()));
        Self(words.map(stem).collect())
    }

    /// What an agent is worth for the task with these words.
    pub(crate) fn rate(
        &self,
        id: String,
        create_time: Timestamp,
        profile: Profile<'_>,
    ) -> Candidate {
        let shared = |text: &str| {
            let common = Self::of(text).0.intersection(&self.0).count();
            u32::try_from(common).unwrap_or(u32::MAX / 100)
        };
        let score = shared(profile.name) * NAME
            + shared(profile.description) * DESCRIPTION
            + shared(profile.instructions) * INSTRUCTIONS;
        let generalist = score == 0 && GENERALISTS.contains(&profile.agent_type);
        Candidate { score, generalist, create_time, id }
    }
}

/// A word without the commonest ending, if enough is left of it to mean something.
fn stem(word: String) -> String {
    let endings = ["ing", "ies", "ed", "es", "s", "e", "y"];
    // A double s belongs to the word: process, not proces.
    let fits = |ending: &&&str| !(word.ends_with("ss") && **ending == "s");
    let stem = endings.iter().filter(fits).find_map(|ending| word.strip_suffix(ending));
    match stem {
        Some(stem) if stem.chars().count() >= 3 => stem.to_owned(),
        Some(_) | None => word,
    }
}
