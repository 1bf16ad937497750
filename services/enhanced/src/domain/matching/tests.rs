//! Which agent gets which task.

use super::*;

/// Agents by (id, name, description, instructions, type), oldest first; answers their ids, best first.
fn ranked(task: &str, agents: &[(&str, &str, &str, &str, &str)]) -> Vec<String> {
    let words = Words::of(task);
    let mut candidates: Vec<_> = agents
        .iter()
        .enumerate()
        .map(|(age, &(id, name, description, instructions, agent_type))| {
            let created = Timestamp::from_micros(i64::try_from(age).unwrap());
            words.rate(
                id.to_owned(),
                created,
                Profile { name, description, instructions, agent_type },
            )
        })
        .collect();
    candidates.sort_by(|a, b| b.cmp(a));
    candidates.into_iter().map(|candidate| candidate.id).collect()
}

#[test]
fn the_best_fit_wins() {
    let agents = [
        ("bills", "Billing clerk", "Answers questions about invoices", "", "conversational"),
        ("data", "Data Processor", "Filters and aggregates rows", "", "data_processor"),
        ("chat", "Assistant", "Talks with people", "You know invoices a little.", "conversational"),
    ];
    let check =
        |task: &str, expected: &[&str]| assert_eq!(ranked(task, &agents), expected, "{task}");
    check("I was charged twice on my invoice", &["bills", "chat", "data"]);
    check("filter these rows please", &["data", "chat", "bills"]);
    check("Process the data", &["data", "chat", "bills"]);
    check("INVOICES?", &["bills", "chat", "data"]);
}

#[test]
fn a_name_counts_more_than_a_description_and_that_more_than_instructions() {
    let agents = [
        ("name", "weather", "", "", "custom"),
        ("description", "", "weather", "", "custom"),
        ("instructions", "", "", "weather", "custom"),
    ];
    assert_eq!(ranked("weather", &agents), ["name", "description", "instructions"]);
}

#[test]
fn ties_go_to_the_newest() {
    let agents = [("old", "weather", "", "", "custom"), ("new", "weather", "", "", "custom")];
    assert_eq!(ranked("weather", &agents), ["new", "old"]);
}

#[test]
fn when_nothing_fits_a_generalist_is_asked_first() {
    let agents = [
        ("executor", "Doer", "", "", "task_executor"),
        ("talker", "Talker", "", "", "conversational"),
        ("pipe", "Pipe", "", "", "integration"),
    ];
    assert_eq!(ranked("the xyzzy of it", &agents), ["talker", "executor", "pipe"]);
    assert_eq!(ranked("", &agents), ["talker", "executor", "pipe"]);
}

#[test]
fn words_are_compared_by_their_stem() {
    let check = |a: &str, b: &str, same: bool| {
        assert_eq!(Words::of(a).0 == Words::of(b).0, same, "{a} {b}");
    };
    check("invoices", "Invoice", true);
    check("filtering", "filtered", true);
    check("process", "Processes", true);
    check("queries", "query", true);
    check("the of and", "", true);
    check("data", "date", false);
    check("Übersetzung", "übersetzung", true);
}
