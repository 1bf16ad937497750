//! The messages that are measured, and who translates them.
//!
//! Everyone starts from the same bytes and writes into fresh memory. pbjson and prost-reflect write
//! canonical ProtoJSON, so the codec does too.

use bytes::Bytes;
use lightning_transcode::{Codec, DirectCodec, JsonStyle};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::{
    generated::{Agent, AgentList, Document, Series},
    oracle::DynamicCodec,
};

/// Those who translate, in the order of the columns.
pub(crate) const NAMES: [&str; 4] = ["direct", "pbjson", "prost-reflect", "dynamic"];

type Run = Box<dyn Fn() -> usize>;

/// One message in one direction.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The bytes of the JSON text.
    pub(crate) size: usize,
    /// One for each of [`NAMES`]; each gives the length of its result.
    pub(crate) runs: [Run; 4],
}

/// Every message, first as requests (JSON to wire), then as answers (wire to JSON).
pub(crate) fn all() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/codec");
    let files = protox::compile(["messages.proto"], [folder]).expect("the messages are valid");
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("the messages are valid");
    let mut cases: Vec<[Case; 2]> = Vec::new();
    cases.push(both::<Agent>(&pool, "agent", &agent(0, 1, 60)));
    cases.push(both::<Agent>(&pool, "agent", &agent(1, 3, 120)));
    let agents: Vec<Json> = (0..16).map(|at| agent(at, 3, 120)).collect();
    let list = json!({"agents": agents, "nextPageToken": "b2Zmc2V0PTE2", "totalSize": 250});
    cases.push(both::<AgentList>(&pool, "list of agents", &list));
    let plain = "All work and no play makes a plain text of many ordinary words. ".repeat(250);
    let text = json!({"title": "plain", "text": plain});
    cases.push(both::<Document>(&pool, "text, no escapes", &text));
    let escaped = "He said \"no\".\n\tThen: C:\\temp\\ü, and so on and so forth.\r\n".repeat(230);
    let text = json!({"title": "escaped", "text": escaped});
    cases.push(both::<Document>(&pool, "text with escapes", &text));
    let lines = "A line of an answer as most are: words, and at its end a line feed.\n".repeat(235);
    let text = json!({"title": "lines", "text": lines});
    cases.push(both::<Document>(&pool, "text of lines", &text));
    cases.push(both::<Document>(&pool, "bytes", &json!({"content": "QUJDREVG".repeat(2_000)})));
    cases.push(both::<Series>(&pool, "numbers and times", &series(300)));
    let mut document = agent(2, 0, 60);
    document["config"] = parameters(90);
    cases.push(both::<Agent>(&pool, "Struct", &document));
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for [request, answer] in cases {
        requests.push(request);
        answers.push(answer);
    }
    requests.append(&mut answers);
    requests
}

fn agent(at: usize, tools: usize, words: usize) -> Json {
    let tool = |index: usize| {
        json!({"name": format!("tool_{index}"), "description": "Looks up an order by its number",
               "parameters": {"type": "object", "required": ["order"]}, "calls": "1208"})
    };
    let tools: Vec<Json> = (0..tools).map(tool).collect();
    let mut description = "Answers the questions of customers about orders and refunds. ".repeat(2);
    description.truncate(words);
    json!({
        "id": format!("01928f6e-7c31-7d04-a1b2-0000000000{at:02}"), "name": "Customer Support Agent",
        "description": description, "agentType": "AGENT_TYPE_CONVERSATIONAL",
        "capabilities": ["answer"], "labels": {"team": "support"},
        "config": {"model": "gpt-4o", "stream": true, "top_p": 0.95},
        "createdAt": "2026-01-31T10:00:00.123456Z", "updatedAt": "2026-02-01T08:30:15Z",
        "version": "12", "temperature": 0.7, "maxTokens": 2048, "deployed": true,
        "timeout": "30s", "tools": tools,
    })
}

fn parameters(count: usize) -> Json {
    let one = |at: usize| {
        let value = json!({"type": "number", "description": "a parameter of the tool",
                           "minimum": at, "maximum": 1e3, "enum": [1, 2.5, null, true, "x"]});
        (format!("parameter_{at}"), value)
    };
    Json::Object((0..count).map(one).collect())
}

fn series(count: i64) -> Json {
    let counts: Vec<String> = (0..count).map(|at| (at * at * 7_919).to_string()).collect();
    let values: Vec<f64> = (0..300).map(|at| f64::from(at) * 0.37 + 1e-3).collect();
    let times: Vec<String> = (0..count)
        .map(|at| format!("2026-03-{:02}T{:02}:{:02}:00.250Z", 1 + at % 28, at % 24, at % 60))
        .collect();
    let totals: serde_json::Map<String, Json> =
        (0..40).map(|at| (format!("status_{at}"), json!(at * 17))).collect();
    json!({"name": "requests", "counts": counts, "values": values, "times": times, "totals": totals})
}

fn both<T>(pool: &DescriptorPool, name: &str, json: &Json) -> [Case; 2]
where
    T: Message + Default + Serialize + DeserializeOwned + 'static,
{
    let direct = || DirectCodec::new(pool.clone(), JsonStyle::Canonical, 100);
    let dynamic = || DynamicCodec::new(pool.clone(), JsonStyle::Canonical, 100);
    let message: T = T::deserialize(json).expect("the message fits");
    let text = serde_json::to_vec(&message).expect("the message can be written");
    let wire = Bytes::from(message.encode_to_vec());
    let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    let of = pool.get_message_by_name(&format!("bench.v1.{kind}")).expect("the message is known");
    check(&direct(), &of, &text, &wire);
    let request = Case {
        name: format!("request {name}"),
        size: text.len(),
        runs: [
            reads(direct(), &of, &text),
            reading(&text, |text| {
                let message: T = serde_json::from_slice(text).expect("the text is valid");
                message.encode_to_vec().len()
            }),
            reading(&text, {
                let of = of.clone();
                move |text| {
                    let mut deserializer = serde_json::Deserializer::from_slice(text);
                    DynamicMessage::deserialize(of.clone(), &mut deserializer)
                        .expect("the text is valid")
                        .encode_to_vec()
                        .len()
                }
            }),
            reads(dynamic(), &of, &text),
        ],
    };
    let answer = Case {
        name: format!("answer {name}"),
        size: text.len(),
        runs: [
            writes(direct(), &of, &wire),
            writing(&wire, |wire| {
                let message = T::decode(wire).expect("the wire is valid");
                serde_json::to_vec(&message).expect("the message can be written").len()
            }),
            writing(&wire, {
                let of = of.clone();
                move |wire| {
                    let message = DynamicMessage::decode(of.clone(), wire).expect("it is valid");
                    serde_json::to_vec(&message).expect("the message can be written").len()
                }
            }),
            writes(dynamic(), &of, &wire),
        ],
    };
    [request, answer]
}

/// What is fast and wrong is not worth measuring.
fn check(codec: &impl Codec, of: &MessageDescriptor, text: &[u8], wire: &Bytes) {
    let print = |wire: Bytes| {
        let mut out = Vec::new();
        codec.to_json(of, None, wire, &mut out).expect("the wire is valid");
        out
    };
    let read = |text: &[u8]| Bytes::from(codec.to_wire(of, text).expect("the text is valid"));
    let ours = print(wire.clone());
    assert!(print(read(&ours)) == ours && print(read(text)) == ours, "{}", of.full_name());
}

fn reads(codec: impl Codec + 'static, of: &MessageDescriptor, text: &[u8]) -> Run {
    let of = of.clone();
    reading(text, move |text| codec.to_wire(&of, text).expect("the text is valid").len())
}

fn writes(codec: impl Codec + 'static, of: &MessageDescriptor, wire: &Bytes) -> Run {
    let of = of.clone();
    writing(wire, move |wire| {
        let mut out = Vec::new();
        codec.to_json(&of, None, wire, &mut out).expect("the wire is valid");
        out.len()
    })
}

fn reading(text: &[u8], run: impl Fn(&[u8]) -> usize + 'static) -> Run {
    let text = text.to_vec();
    Box::new(move || run(&text))
}

fn writing(wire: &Bytes, run: impl Fn(Bytes) -> usize + 'static) -> Run {
    let wire = wire.clone();
    Box::new(move || run(wire.clone()))
}
