//! What each kind of task does, and how data and errors flow.

use serde_json::{Value, json};

use super::support::{World, error, output, steps};

async fn check(world: &World, tasks: &str, input: Value, expected: Value) {
    let execution = world.run_tasks(tasks, input).await;
    assert_eq!(output(&execution), expected, "{tasks}");
}

async fn fails(world: &World, tasks: &str, input: Value, kind: &str, instance: &str, part: &str) {
    let execution = world.run_tasks(tasks, input).await;
    let error = error(&execution);
    assert!(error.r#type.ends_with(kind), "{tasks}: {error:?}");
    assert_eq!(error.instance, instance, "{tasks}: {error:?}");
    assert!(error.detail.contains(part), "{tasks}: {error:?}");
}

#[tokio::test]
async fn data_flows_in_the_order_of_the_language() {
    let world = World::start().await;
    check(
        &world,
        "- a: { set: { x: '${ .n + 1 }' } }\n- b: { set: '${ {y: (.x * 2)} }' }",
        json!({ "n": 1 }),
        json!({ "y": 4 }),
    )
    .await;
    let tasks = r"
- first:
    input: { from: '${ {m: .n} }' }
    set: { double: '${ .m * 2 }', given: '${ $input.m }' }
    output: { as: '${ .double + $input.m }' }
    export: { as: '${ $context + {kept: $output} }' }
- second:
    set:
      was: '${ . }'
      kept: '${ $context.kept }'
      first: '${ $workflow.input.n }'
      name: '${ $task.name }'
      deep: [{ x: '${ 1 + 1 }', y: plain }]
";
    check(
        &world,
        tasks,
        json!({ "n": 3 }),
        json!({ "was": 9, "kept": 9, "first": 3, "name": "second", "deep": [{ "x": 2, "y": "plain" }] }),
    )
    .await;
}

#[tokio::test]
async fn tasks_jump_skip_and_loop() {
    let world = World::start().await;
    let count = r"
- start: { set: { n: 0 } }
- add: { set: { n: '${ .n + 1 }' } }
- again: { switch: [{ more: { when: .n < 3, then: add } }] }
- done: { if: .n > 100, set: { n: -1 } }
";
    let execution = world.run_tasks(count, json!({})).await;
    assert_eq!(output(&execution), json!({ "n": 3 }));
    let expected = [
        "start completed",
        "add completed",
        "again completed",
        "add completed",
        "again completed",
        "add completed",
        "again completed",
        "done skipped",
    ];
    assert_eq!(steps(&execution), expected);
    let ids: Vec<_> = execution.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids[3], "/do/1/add#v2");

    let each = r"
- sum:
    for: { each: row, in: .rows, at: number }
    while: $number < 3
    do: [{ add: { set: { rows: '${ .rows }', total: '${ .total + $row.v + $number }' } } }]
    output: { as: .total }
";
    let rows = json!({ "total": 0, "rows": [{ "v": 1 }, { "v": 2 }, { "v": 3 }, { "v": 100 }] });
    check(&world, each, rows, json!(9)).await;
    check(&world, "- a: { do: [{ b: { set: { x: 1 }, then: exit } }, { c: { set: { x: 2 } } }] }\n- d: { set: '${ .x + 10 }' }", json!({}), json!(11)).await;
    check(
        &world,
        "- a: { do: [{ b: { set: { x: 1 }, then: end } }] }\n- d: { set: { x: 3 } }",
        json!({}),
        json!({ "x": 1 }),
    )
    .await;
}

#[tokio::test]
async fn branches_run_side_by_side() {
    let world = World::start().await;
    let fork = r"
- both:
    fork:
      branches:
        - left: { call: model, with: { prompt: hold }, output: { as: .output }, export: { as: '${ $context + {l: 1} }' } }
        - right: { do: [{ ask: { call: model, with: { prompt: quick }, output: { as: .output }, export: { as: '${ $context + {r: 2} }' } } }] }
- after: { set: { outputs: '${ . }', context: '${ $context }' } }
";
    let workflow = world.define(fork).await;
    let id = world.begin(&workflow, json!({})).await;
    // The quick branch ends while the other one is held.
    super::support::until(|| async {
        let steps = steps(&world.get(&id).await);
        (world.peers.holding.load(std::sync::atomic::Ordering::SeqCst) == 1
            && world.peers.prompts.lock().unwrap().contains(&"quick".to_owned())
            && steps.contains(&"left running".to_owned()))
        .then_some(())
    })
    .await;
    world.peers.release.notify_one();
    let execution =
        world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Completed).await;
    assert_eq!(
        output(&execution),
        json!({ "outputs": ["answer to hold", "answer to quick"], "context": { "l": 1, "r": 2 } })
    );

    let race = r"
- race:
    fork:
      compete: true
      branches:
        - slow: { call: model, with: { prompt: hold } }
        - fast: { set: { won: fast } }
";
    let execution = world.run_tasks(race, json!({})).await;
    assert_eq!(output(&execution), json!({ "won": "fast" }));
    assert!(steps(&execution).contains(&"slow cancelled".to_owned()), "{:?}", steps(&execution));
}

#[tokio::test]
async fn errors_are_caught_by_what_they_are() {
    let world = World::start().await;
    let raise = |catch: &str| {
        format!(
            "- t:\n    try: [{{ bad: {{ raise: {{ error: {{ type: 'https://example.com/e', status: 409, title: T, detail: '${{ .why }}' }} }} }} }}]\n    catch: {catch}\n- after: {{ set: {{ got: '${{ . }}' }} }}"
        )
    };
    let input = json!({ "why": "because" });
    let caught = json!({ "got": { "was": "because", "at": "/do/0/t/try/0/bad" } });
    let handler = "do: [{ h: { set: { was: '${ $e.detail }', at: '${ $e.instance }' } } }]";
    for with in [
        "errors: { with: { status: 409 } },",
        "",
        "when: $e.status == 409,",
        "errors: { with: { type: 'https://example.com/e' } },",
    ] {
        check(
            &world,
            &raise(&format!("{{ {with} as: e, {handler} }}")),
            input.clone(),
            caught.clone(),
        )
        .await;
    }
    check(&world, &raise("{}"), input.clone(), json!({ "got": { "why": "because" } })).await;
    for with in [
        "errors: { with: { status: 500 } },",
        "exceptWhen: $e.status == 409,",
        "when: $e.status == 1,",
    ] {
        let tasks = raise(&format!("{{ {with} as: e, {handler} }}"));
        fails(&world, &tasks, input.clone(), "example.com/e", "/do/0/t/try/0/bad", "because").await;
    }
}

#[tokio::test]
async fn what_fails_says_what_and_where() {
    let world = World::start().await;
    fails(
        &world,
        "- a: { set: { x: '${ .a + 1 | error(\"no\") }' } }",
        json!({ "a": 1 }),
        "expression",
        "/do/0/a",
        "no",
    )
    .await;
    fails(
        &world,
        "- a: { set: { x: '${ [range(infinite)] }' } }",
        json!({}),
        "expression",
        "/do/0/a",
        "stopped",
    )
    .await;
    fails(
        &world,
        "- a: { set: { x: '${ .[] }' } }",
        json!({ "a": 1, "b": 2 }),
        "expression",
        "/do/0/a",
        "exactly one",
    )
    .await;
    fails(
        &world,
        "- a: { for: { in: .x }, do: [{ b: { set: { y: 1 } } }] }",
        json!({ "x": 5 }),
        "expression",
        "/do/0/a",
        "array",
    )
    .await;
    fails(
        &world,
        "- a: { call: model, with: { prompt: '${ .n }' } }",
        json!({ "n": 5 }),
        "validation",
        "/do/0/a",
        "prompt",
    )
    .await;
    fails(
        &world,
        "- a: { call: integration, with: { integration_id: i, action: nothing } }",
        json!({}),
        "communication",
        "/do/0/a",
        "no such action",
    )
    .await;
    let schema = "- a: { set: { x: 1 }, output: { schema: { document: { required: [y] } } } }";
    fails(&world, schema, json!({}), "validation", "/do/0/a", "y").await;
    let grow = "- a: { set: { x: '${ [\"x\" * 1000000, \"x\" * 1000000] }' } }";
    fails(&world, grow, json!({}), "runtime", "/do/0/a", "larger").await;
    let steps = "- a: { set: { n: 1 } }\n- b: { switch: [{ on: { when: .n == 1, then: a } }] }";
    let config = lightning_workflows::Config { max_steps: 50, ..Default::default() };
    let short = World::start_with(config).await;
    fails(&short, steps, json!({}), "runtime", "/do/0/a", "more than 50 steps").await;
}

#[tokio::test]
async fn calls_are_tried_again_as_the_policy_says() {
    let world = World::start().await;
    let tasks = r"
- t:
    try: [{ ask: { call: integration, with: { integration_id: i, action: '${ .action }' } } }]
    catch: { retry: { delay: { seconds: 30 }, backoff: { exponential: {} }, limit: { attempt: { count: 3 } } } }
";
    let workflow = world.define(tasks).await;
    let id = world.begin(&workflow, json!({ "action": "nothing" })).await;
    for seconds in [30, 60] {
        world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Waiting).await;
        world.clock.advance(std::time::Duration::from_secs(seconds));
        super::support::until(|| async {
            let tries = world.get(&id).await.steps.len();
            (tries >= if seconds == 30 { 3 } else { 4 }).then_some(())
        })
        .await;
    }
    let execution =
        world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Failed).await;
    assert_eq!(error(&execution).instance, "/do/0/t/try/0/ask");
    let attempts: Vec<_> =
        execution.steps.iter().filter(|step| step.name == "ask").map(|step| step.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    let keys: Vec<_> =
        world.peers.actions.lock().unwrap().iter().map(|(_, key, _)| key.clone()).collect();
    assert_eq!(keys.len(), 3);
    assert!(
        keys.iter().all(|key| *key == keys[0]),
        "the effect keeps its key over retries: {keys:?}"
    );
}

#[tokio::test]
async fn timeouts_end_tasks_and_workflows() {
    let world = World::start().await;
    let tasks = "- a: { call: model, with: { prompt: hold }, timeout: { after: PT10S } }";
    let workflow = world.define(tasks).await;
    let id = world.begin(&workflow, json!({})).await;
    super::support::until(|| async {
        (world.peers.holding.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    world.clock.advance(std::time::Duration::from_secs(11));
    let execution =
        world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Failed).await;
    assert_eq!((error(&execution).status, error(&execution).instance.as_str()), (408, "/do/0/a"));

    let source = format!(
        "{}timeout: {{ after: PT1M }}\n",
        super::support::document("- rest: { wait: PT1H }")
    );
    let workflow = world.define_whole(&source).await.unwrap().id;
    let id = world.begin(&workflow, json!({})).await;
    world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Waiting).await;
    world.clock.advance(std::time::Duration::from_secs(61));
    let execution =
        world.reaches(&id, lightning_proto::workflows::v1::execution::Status::Failed).await;
    assert_eq!(error(&execution).status, 408);
    assert_eq!(steps(&execution), ["rest cancelled"]);
}
