//! What expressions can do, and what stops them.

use serde_json::{Value, json};

use super::{Filter, eval_text};

fn check(text: &str, input: Value, expected: Value) {
    assert_eq!(eval_text(text, input), Ok(expected), "{text}");
}

fn refused(text: &str, part: &str) {
    let error = Filter::compile(text, &[]).err().unwrap_or_else(|| panic!("{text} compiles"));
    assert!(error.contains(part), "{text}: {error}");
}

fn stopped(text: &str, input: Value) {
    let result = eval_text(text, input);
    assert!(result.as_ref().is_err_and(super::Failure::is_limit), "{text}: {result:?}");
}

/// For rows that may end by themselves before a limit does it: what counts is that they end.
fn ends(text: &str, input: Value) {
    let _outcome = eval_text(text, input);
}

#[test]
fn expressions_give_what_jq_gives() {
    let orders = json!([
        {"id": 1, "status": "paid", "region": "eu", "amount": 10.5},
        {"id": 2, "status": "open", "region": "us", "amount": 7},
        {"id": 3, "status": "paid", "region": "eu", "amount": 4.5},
    ]);
    check(
        "[.[] | select(.status == \"paid\") | {region, amount}]",
        orders.clone(),
        json!([
            {"region": "eu", "amount": 10.5}, {"region": "eu", "amount": 4.5}
        ]),
    );
    check(
        "group_by(.region) | map({region: .[0].region, count: length, sum: (map(.amount) | add)})",
        orders.clone(),
        json!([{"region": "eu", "count": 2, "sum": 15}, {"region": "us", "count": 1, "sum": 7}]),
    );
    check("map(.amount * 2 - 1) | max", orders.clone(), json!(20));
    check("[.[] | .amount] | sort | reverse | first", orders, json!(10.5));
    check(".a += 1 | .b //= 2 | .c *= 3", json!({"a": 1, "c": 2}), json!({"a": 2, "b": 2, "c": 6}));
    check("[limit(3; .[])] | add", json!([1, 2, 3, 4]), json!(6));
    check("[range(3)] + [range(6; 0; -2)]", Value::Null, json!([0, 1, 2, 6, 4, 2]));
    check("reduce .[] as $x (0; . + $x)", json!([1, 2, 3]), json!(6));
    check("[foreach .[] as $x (0; . + $x)]", json!([1, 2, 3]), json!([1, 3, 6]));
    check("\"\\(.a) and \\(.b)\"", json!({"a": 1, "b": [2]}), json!("1 and [2]"));
    check("to_entries | map(.key) | join(\",\")", json!({"x": 1, "y": 2}), json!("x,y"));
    check("with_entries(.value += 1)", json!({"x": 1}), json!({"x": 2}));
    check(
        "walk(if type == \"number\" then . + 1 else . end)",
        json!([1, {"a": 2}]),
        json!([2, {"a": 3}]),
    );
    check("test(\"^a.c$\") and (ascii_upcase == \"ABC\")", json!("abc"), json!(true));
    check("gsub(\"b\"; \"x\")", json!("abcb"), json!("axcx"));
    check("del(.a) | has(\"a\")", json!({"a": 1}), json!(false));
    check("try error(\"no\") catch .", Value::Null, json!("no"));
    check("[paths] | length", json!({"a": [1]}), json!(2));
    check(
        "getpath([\"a\", \"b\"]) |= 5 | setpath([\"c\"]; 1)",
        json!({"a": {"b": 1}}),
        json!({"a": {"b": 5}, "c": 1}),
    );
    check("[.[] | tojson | fromjson]", json!([1, "a", null]), json!([1, "a", null]));
    check("contains({a: [1]}) and ([1, 2] | index(2)) == 1", json!({"a": [1, 2]}), json!(true));
    check("flatten | unique | map(tostring)", json!([1, [2, [1]]]), json!(["1", "2"]));
    check("\"ab\" * 2", Value::Null, json!("abab"));
    check(
        "fromdateiso8601 | todateiso8601",
        json!("2024-01-02T03:04:05Z"),
        json!("2024-01-02T03:04:05Z"),
    );
    check("[1, 2] - [2]", Value::Null, json!([1]));
}

#[test]
fn an_expression_must_give_one_value() {
    assert_eq!(eval_text("empty", Value::Null), Err(super::Failure::Count("none")));
    assert_eq!(eval_text(".[]", json!([1, 2])), Err(super::Failure::Count("more")));
}

#[test]
fn what_does_not_compile_says_where() {
    refused(".a |", "at character 5");
    refused("{a: }", "expected");
    refused("\"open", "expected");
    refused("nonsense(1)", "nonsense/1 is not offered");
    refused(". + $nothing", "$nothing");
    refused("", "empty");
    refused(&"[".repeat(100), "nested");
    refused(&"1 + ".repeat(4000), "longer");
}

#[test]
fn what_sees_the_machine_or_loops_is_not_offered() {
    for text in [
        "env",
        "$ENV",
        "now",
        "input",
        "inputs",
        "debug",
        "stderr",
        "halt",
        "halt_error",
        "localtime",
        "input_filename",
        "get_search_list",
        "repeat(.)",
        "while(true; .)",
        "until(false; .)",
        "recurse(.)",
        "recurse(.; true)",
        "expression",
        "import \"a\" as a; .",
    ] {
        assert!(Filter::compile(text, &[]).is_err(), "{text} compiles");
    }
    refused("def f: f; f", "def");
    refused("[1] | map(def g: g; g)", "def");
}

#[test]
fn what_runs_without_end_ends() {
    stopped("[range(0; 1; 0)]", Value::Null);
    stopped("last(range(infinite))", Value::Null);
    stopped("reduce range(1e12) as $i (0; . + 1)", Value::Null);
    stopped("[range(1e4) as $a | range(1e4) as $b | $a * $b] | length", Value::Null);
    stopped("try last(range(infinite)) catch 1", Value::Null);
    ends("[range(100)] | [combinations] | length", Value::Null);
    stopped(
        "[[range(100)], [range(100)], [range(100)], [range(100)]] | [combinations] | length",
        Value::Null,
    );
    stopped("first(range(infinite) | select(false))", Value::Null);
    stopped("any(range(infinite); false)", Value::Null);
}

#[test]
fn what_grows_without_end_is_stopped() {
    stopped("reduce range(60) as $i (\"xx\"; . + .)", Value::Null);
    stopped("reduce range(60) as $i ({a: \"xx\"}; .a += .a)", Value::Null);
    stopped("\"x\" * 1000000000000", Value::Null);
    stopped("reduce range(64) as $i (2; . * .)", Value::Null);
    stopped("reduce range(60) as $i (0; [., .]) | tojson | length", Value::Null);
    ends("reduce range(60) as $i (0; [., .]) | . == [1]", Value::Null);
    stopped("reduce range(60) as $i (0; [., .]) | . as $x | $x == $x", Value::Null);
    stopped("reduce range(60) as $i (0; [., .]) | \"\\(.)\"", Value::Null);
    stopped("reduce range(60) as $i (0; [., .]) | flatten", Value::Null);
    stopped("reduce range(60) as $i (0; [., .])", Value::Null);
    stopped("reduce range(100000) as $i (0; [.])", Value::Null);
    ends("(reduce range(100000) as $i (.; .a)) |= 1", Value::Null);
    ends("setpath([range(100000) | \"a\"]; 1)", Value::Null);
    stopped("([range(300) | \"[\"] | join(\"\")) | fromjson", Value::Null);
    ends("reduce range(60) as $i (0; [., .]) | error", Value::Null);
}

#[test]
fn library_calls_on_huge_texts_are_stopped_with_their_numbers() {
    for (text, part) in [
        ("(\"a\" * 8000000) | gsub(\"a\"; \"bbbbbbbb\")", "8000000"),
        ("(\"a\" * 200000) | gsub(\"a\"; \"bbbbbbbb\")", "200000"),
        ("(\"a\" * 70000) | gsub(\"a\"; \"b\")", "split it"),
        ("(\"a\" * 200000) | test(\"(a*)*b\")", "at most 131072"),
        ("(\"a\" * 200000) | [match(\"a\"; \"g\")] | length", "200000"),
        ("(\"a\" * 200000) | [splits(\"a\")] | length", "200000"),
        ("(\"a\" * 100000) | test(\"((a{1,100}){100}){10}b\")", "too large"),
        ("(\"a\" * 400000) | split(\"\")", "400000"),
        ("(\"a\" * 400000) / \"\"", "400000"),
        ("(\"a\" * 400000) | explode", "400000"),
        ("(\"a\" * 400000) | indices(\"a\")", "400000"),
        ("[limit(300000; range(400000)) | 97] | implode", "300000"),
        ("(\"a\" * 1000000) | . + . | ascii_downcase", "2000000"),
    ] {
        let failure = eval_text(text, Value::Null).expect_err(text);
        assert!(failure.is_limit() && failure.to_string().contains(part), "{text}: {failure}");
    }
    check(
        "[limit(3; foreach (1, 2) as $x (0; . + $x, . * 10; ., -.))]",
        Value::Null,
        json!([1, -1, 3]),
    );
    check("[scan(\"[a-z]{2,3}\")]", json!("abc de"), json!(["abc", "de"]));
    check("[match(\"b\", \"c\"; \"g\").offset]", json!("abc"), json!([1, 2]));
    check("explode | implode | split(\"b\") | join(\"x\")", json!("abc"), json!("axc"));
    check("7 / 2, 1 | select(. > 3)", Value::Null, json!(3.5));
}

/// The most memory that the process has had, in KiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn a_text_that_grows_in_a_fold_is_kept_once() {
    let before = peak();
    let text =
        "reduce range(20000) as $i (\"\"; . + (1 | if . then \"bbbbbbbb\" else . end)) | length";
    check(text, Value::Null, json!(160_000));
    check("(\"a\" * 8192) | gsub(\"a\"; \"bb\") | length", Value::Null, json!(16_384));
    // Each stage of it kept would be 1.6 GB.
    let grown = peak() - before;
    assert!(grown < 400_000, "{grown} KiB");
}
