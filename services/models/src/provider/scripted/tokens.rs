//! The scripted models' tokens: a word, or any other single character that is not white space.
//!
//! A word is a run of letters, digits and underscores. The rule is simple enough to count by hand, so
//! tests can state usage and cost exactly. It is also the estimate for providers that do not say how
//! many tokens they used; real tokenizers cut words further, so that estimate is on the low side.

use crate::domain::{ChatAnswer, ChatRequest, Format, ToolCall};

/// How many tokens a text has.
pub(crate) fn count(text: &str) -> i64 {
    i64::try_from(ends(text).count()).unwrap_or(i64::MAX)
}

/// The text up to the end of its `most`th token; all of it if there are no more.
pub(crate) fn first(text: &str, most: usize) -> &str {
    if most == 0 {
        return "";
    }
    let mut ends = ends(text).skip(most - 1);
    match (ends.next(), ends.next()) {
        (Some(end), Some(_)) => &text[..end],
        (_, _) => text,
    }
}

/// The tokens that a question has: contents, calls, tools and schema, all as text.
pub(crate) fn of_request(request: &ChatRequest) -> i64 {
    let messages: i64 = request
        .messages
        .iter()
        .map(|message| count(&message.content) + of_calls(&message.tool_calls))
        .sum();
    let tools: i64 = request
        .tools
        .iter()
        .map(|tool| {
            let parameters =
                tool.parameters.as_ref().map_or(0, |schema| count(&schema.to_string()));
            count(&tool.name) + count(&tool.description) + parameters
        })
        .sum();
    let schema = match &request.format {
        Format::Text | Format::JsonObject => 0,
        Format::Schema { schema, .. } => count(&schema.to_string()),
    };
    messages + tools + schema
}

/// The tokens that an answer has.
pub(crate) fn of_answer(answer: &ChatAnswer) -> i64 {
    count(&answer.text) + of_calls(&answer.tool_calls)
}

fn of_calls(calls: &[ToolCall]) -> i64 {
    calls.iter().map(|call| count(&call.name) + count(&call.arguments)).sum()
}

/// Where each token ends.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    let is_word = |each: char| each.is_alphanumeric() || each == '_';
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, mut last) = characters.find(|(_, each)| !each.is_whitespace())?;
        let mut end = start + last.len_utf8();
        while is_word(last) {
            let Some((at, next)) = characters.next_if(|(_, next)| is_word(*next)) else { break };
            (end, last) = (at + next.len_utf8(), next);
        }
        Some(end)
    })
}
