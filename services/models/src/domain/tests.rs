//! The rules of the domain.

use super::*;

#[test]
fn model_ids_keep_to_their_alphabet() {
    let check =
        |text: &str, fits: bool| assert_eq!(ModelId::parse(text).is_some(), fits, "{text:?}");
    check("scripted-1", true);
    check("openai/gpt-4o:2024", true);
    check("", false);
    check("..", false);
    check("a b", false);
    check("größe", false);
    check(&"x".repeat(128), true);
    check(&"x".repeat(129), false);
}

#[test]
fn costs_are_exact_and_rounded_to_the_nearest_nano_dollar() {
    let check = |input: f64, output: f64, tokens: (i64, i64), nanos: i64| {
        let prices = Prices {
            input: Prices::nanos(input).expect("a price"),
            output: Prices::nanos(output).expect("a price"),
        };
        assert_eq!(prices.cost(tokens.0, tokens.1), nanos, "{input} {output} {tokens:?}");
    };
    check(0.15, 0.6, (1_000, 1_000), 750_000);
    check(0.0375, 0.0, (1, 0), 38);
    check(0.0, 0.0, (i64::MAX, i64::MAX), 0);
    check(1_000_000.0, 1_000_000.0, (i64::MAX, i64::MAX), i64::MAX);
    check(3.0, 15.0, (-5, 2), 30_000);
}

#[test]
fn prices_outside_the_range_are_refused() {
    let check = |dollars: f64| assert_eq!(Prices::nanos(dollars), None, "{dollars}");
    check(-0.1);
    check(f64::NAN);
    check(f64::INFINITY);
    check(1_000_000.1);
}

#[test]
fn deltas_add_up_to_the_answer() {
    let mut answer = ChatAnswer::default();
    let call = |index, id: Option<&str>, arguments: &str| Delta::ToolCall {
        index,
        id: id.map(str::to_owned),
        name: id.map(|_| "look_up".to_owned()),
        arguments: arguments.to_owned(),
    };
    answer.push(&Delta::Text("a".to_owned()));
    answer.push(&Delta::Text("b".to_owned()));
    answer.push(&call(1, Some("two"), "{"));
    answer.push(&call(1, None, "}"));
    answer.push(&call(usize::MAX, Some("far"), ""));
    answer.push(&Delta::End { finish: FinishReason::ToolCalls, usage: None });
    assert_eq!(answer.text, "ab");
    assert_eq!(answer.tool_calls.len(), 2);
    assert_eq!(answer.tool_calls[1].arguments, "{}");
    assert_eq!(answer.finish, FinishReason::ToolCalls);
}
