//! What the shipped rules answer, and how tokens, limits and vectors are counted.

use serde_json::json;

use super::*;
use crate::domain::{Message, Sampling};

fn ask(system: &str, input: &str) -> ChatRequest {
    let mut messages = vec![Message::text(Role::User, input)];
    if !system.is_empty() {
        messages.insert(0, Message::text(Role::System, system));
    }
    ChatRequest { messages, ..ChatRequest::default() }
}

fn with_schema(request: ChatRequest, schema: Value) -> ChatRequest {
    ChatRequest { format: Format::Schema { name: "answer".to_owned(), schema }, ..request }
}

fn say(request: &ChatRequest) -> ChatAnswer {
    let rules = Rules::parse(DEFAULT_RULES).expect("the shipped rules are valid");
    answer(&rules, "scripted-1", request).expect("an answer")
}

fn tool(name: &str, parameters: Value) -> Tool {
    Tool { name: name.to_owned(), description: String::new(), parameters: Some(parameters) }
}

#[test]
fn support_messages_are_classified() {
    let schema = json!({"type": "object", "required": ["intent"], "additionalProperties": false,
        "properties": {"intent": {"type": "string", "enum": ["billing", "technical", "general"]}}});
    let system = "Classify the message as one of billing, technical or general.";
    let check = |input: &str, intent: &str| {
        for request in [
            ask(system, input),
            ask("", &format!("Classify as billing, technical or general: {input}")),
        ] {
            let answer = say(&with_schema(request, schema.clone()));
            let value: Value = serde_json::from_str(&answer.text).expect("JSON");
            assert_eq!(value, json!({"intent": intent}), "{input}");
        }
    };
    check("I was charged twice on my invoice", "billing");
    check("the app crashes with error 500 when I log in", "technical");
    check("Help needed", "general");
    check("I want my money back", "billing");
    check("The page is slow and then fails", "technical");
    check("What are your opening hours?", "general");
    check("", "general");
}

#[test]
fn handlers_answer_in_their_role() {
    let check = |system: &str, words: &str| {
        let input = "it is about order 77";
        let answer = say(&ask(system, input)).text;
        assert!(answer.contains(words) && answer.contains(input), "{system}: {answer}");
    };
    check("You are the billing support team. Answer the customer.", "billing support");
    check("You are a technical support engineer.", "technical support");
    check("You answer general questions of customers.", "contacting support");
    check(
        "You are the general support agent. Greet the customer, answer the question.",
        "contacting support",
    );
    check("You handle billing.", "billing");
    check("You execute tasks step by step.", "Task received");
    check("You are a data processor.", "characters of data");
    check("You are a friendly assistant.", "scripted offline model");
    check("", "[[models.provider]]");
}

#[test]
fn rules_can_repeat_what_they_captured() {
    assert!(say(&ask("", "Hi, my name is Zoë.")).text.contains("Nice to meet you, Zoë!"));
    assert_eq!(say(&ask("", "say: hello there")).text, "hello there");
}

#[test]
fn a_structured_answer_fits_its_schema() {
    let check = |schema: Value, expected: Value| {
        let answer = say(&with_schema(ask("", "please make it green"), schema));
        assert_eq!(serde_json::from_str::<Value>(&answer.text).expect("JSON"), expected);
    };
    check(
        json!({"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}}),
        json!({"colour": "green"}),
    );
    check(
        json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}}),
        json!({"n": 2}),
    );
    check(json!({"type": "string", "enum": ["a", "b"]}), json!("a"));
    check(json!({"type": "string", "maxLength": 3}), json!(""));
}

#[test]
fn tools_that_the_input_names_are_called_once() {
    let parameters = json!({"type": "object", "required": ["city", "days"], "properties":
        {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let mut request = ask("", "What is the weather for 3 days in Rome?");
    request.tools = vec![tool("get_time", json!({})), tool("get_weather", parameters)];
    let first = say(&request);
    assert_eq!(first.finish, FinishReason::ToolCalls);
    let call = &first.tool_calls[0];
    assert_eq!((call.name.as_str(), call.id.as_str()), ("get_weather", "call_1"));
    let arguments: Value = serde_json::from_str(&call.arguments).expect("JSON");
    assert_eq!(arguments, json!({"city": "What is the weather for 3 days in Rome?", "days": 3}));

    request.messages.push(Message {
        tool_calls: first.tool_calls.clone(),
        ..Message::text(Role::Assistant, "")
    });
    request
        .messages
        .push(Message { tool_call_id: "call_1".to_owned(), ..Message::text(Role::Tool, "sunny") });
    assert_eq!(say(&request).text, "The tool answered: sunny");
}

#[test]
fn tool_choice_is_obeyed() {
    let check = |choice: ToolChoice, called: Option<&str>| {
        let mut request = ask("", "tell me the weather");
        request.tools = vec![tool("get_time", json!({})), tool("get_weather", json!({}))];
        request.tool_choice = choice;
        let answer = say(&request);
        assert_eq!(answer.tool_calls.first().map(|call| call.name.as_str()), called);
    };
    check(ToolChoice::Auto, Some("get_weather"));
    check(ToolChoice::None, None);
    check(ToolChoice::Required, Some("get_weather"));
    check(ToolChoice::Named("get_time".to_owned()), Some("get_time"));
}

#[test]
fn tokens_are_words_and_signs() {
    let check = |text: &str, count: i64| assert_eq!(tokens::count(text), count, "{text:?}");
    check("", 0);
    check("  \n", 0);
    check("Hello, world!", 4);
    check("snake_case 3.5", 4);
    check("größe 日本", 2);
    assert_eq!(tokens::first("Hello, big world ", 3), "Hello, big");
    assert_eq!(tokens::first("Hello, big world ", 4), "Hello, big world ");
    assert_eq!(tokens::first("Hello", 0), "");
}

#[test]
fn answers_end_at_limits_and_stops() {
    let check = |most: Option<u32>, stop: &[&str], text: &str, finish: FinishReason| {
        let mut request = ask("", "say: one two three. four");
        request.sampling = Sampling {
            max_output_tokens: most,
            stop: stop.iter().map(|&each| each.to_owned()).collect(),
            ..Sampling::default()
        };
        let answer = say(&request);
        assert_eq!((answer.text.as_str(), answer.finish), (text, finish), "{most:?} {stop:?}");
        let usage = answer.usage.expect("usage");
        assert_eq!(usage.output_tokens, tokens::count(text));
        assert_eq!(usage.input_tokens, 7);
    };
    check(None, &[], "one two three. four", FinishReason::Stop);
    check(Some(2), &[], "one two", FinishReason::Length);
    check(Some(5), &[], "one two three. four", FinishReason::Stop);
    check(None, &[".", " three"], "one two", FinishReason::Stop);
    check(Some(1), &["three"], "one", FinishReason::Length);
}

#[test]
fn pieces_add_up_to_the_answer() {
    let mut request = ask("", "who are you");
    let whole = say(&request);
    let mut sum = ChatAnswer::default();
    deltas(whole.clone()).iter().for_each(|delta| sum.push(delta));
    assert_eq!(sum, whole);
    request.tools =
        vec![tool("who", json!({"type": "object", "properties": {"a": {"type": "string"}}}))];
    let whole = say(&request);
    let mut sum = ChatAnswer::default();
    deltas(whole.clone()).iter().for_each(|delta| sum.push(delta));
    assert_eq!(sum, whole);
}

#[test]
fn vectors_are_unit_length_and_near_for_near_texts() {
    let embed = |text: &str| {
        let request = EmbedRequest { inputs: vec![text.to_owned()], dimensions: None };
        embed::embed(&request).expect("vectors").vectors.remove(0)
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (bill, bills, cat) =
        (embed("my invoice is wrong"), embed("wrong invoices"), embed("a cat sleeps"));
    assert_eq!(bill.len(), 256);
    assert!((dot(&bill, &bill) - 1.0).abs() < 1e-5);
    assert!(dot(&bill, &bills) > dot(&bill, &cat) + 0.2);
    assert!((dot(&embed("…"), &embed("")) - 1.0).abs() < 1e-5);
}

#[test]
fn rules_that_are_wrong_are_refused_at_start() {
    let check = |yaml: &str, words: &str| {
        let problem = Rules::parse(yaml).err().expect("a refusal");
        assert!(problem.contains(words), "{yaml}: {problem}");
    };
    check("version: 2\nfallback: {text: a}", "version");
    check("version: 1", "fallback");
    check("version: 1\nfallback: {choose: [a]}", "fallback");
    check("version: 1\nfallback: {text: '{{nope}}'}", "placeholder");
    check("version: 1\nfallback: {text: '{{input'}", "closed");
    check("version: 1\nfallback: {txt: a}", "txt");
    check("version: 1\nrules: [{name: a, then: {}}]\nfallback: {text: a}", "rule \"a\"");
    check(
        "version: 1\nrules: [{name: a, when: {input: {matches: '('}}, then: {text: a}}]\nfallback: {text: a}",
        "matches",
    );
    check(
        "version: 1\nrules: [{name: a, when: {input: {any: ['*']}}, then: {text: a}}]\nfallback: {text: a}",
        "no letter",
    );
}

#[test]
fn a_conversation_that_is_too_long_is_refused() {
    let rules = Rules::parse(DEFAULT_RULES).expect("the shipped rules are valid");
    let refused = answer(&rules, "scripted-1", &ask("", &"word ".repeat(128_001)));
    assert!(matches!(refused, Err(Upstream::ContextTooLong { .. })));
}
