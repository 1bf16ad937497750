//! Descriptors of strangers: whatever they hold, a plan or an error comes of them.

use std::collections::BTreeMap;

use super::{Found, file_set, make, plan};
use crate::{config::Upstream, error::Error};

const SERVICE: &str = "lightning.agents.v1.AgentService";

fn upstream() -> Upstream {
    Upstream {
        name: "library".to_owned(),
        addresses: Vec::new(),
        services: Vec::new(),
        permission: None,
        public: false,
        pass_credentials: false,
        refresh: std::time::Duration::from_secs(30),
    }
}

/// The files of the contract, as if an upstream had sent them.
fn found(service: &str) -> Found {
    let pool = lightning_proto::pool();
    let files: BTreeMap<_, _> =
        pool.files().map(|file| (file.name().to_owned(), file.encode_to_vec())).collect();
    Found { services: vec![service.to_owned()], files }
}

#[test]
fn options_survive() {
    let plan = plan(&upstream(), &found(SERVICE)).unwrap();
    assert!(plan.routes.iter().any(|route| route.template() == "/api/v1/agents/{id}"));
    let create = &plan.methods["/lightning.agents.v1.AgentService/CreateAgent"];
    assert_eq!(create.permission.to_string(), "agents.write");
}

#[test]
fn an_upstream_without_annotations_has_no_routes() {
    let mut found = found("google.Nothing");
    found.files.retain(|name, _| name == "google/protobuf/empty.proto");
    found.services.clear();
    let plan = plan(&upstream(), &found).unwrap();
    assert_eq!(plan.routes.iter().count(), 0);
}

#[test]
fn what_is_missing_is_named() {
    let error = plan(&upstream(), &found("acme.v1.Nothing")).err().unwrap();
    assert!(error.to_string().contains("acme.v1.Nothing"), "{error}");
    let mut incomplete = found(SERVICE);
    incomplete.files.remove("google/protobuf/timestamp.proto");
    let error = plan(&upstream(), &incomplete).err().unwrap();
    assert!(error.to_string().contains("timestamp"), "{error}");
}

/// Steps of a small generator of numbers, always the same.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[tokio::test]
async fn damaged_descriptors_are_refused_or_understood_and_never_fatal() {
    let mut whole = found(SERVICE);
    whole.files.retain(|name, _| {
        name.starts_with("google/") || name.contains("agents") || name.contains("options")
    });
    let names: Vec<String> = whole.files.keys().cloned().collect();
    let mut state = 7;
    let mut refused = 0;
    for _ in 0..200 {
        let mut damaged = whole.clone();
        for _ in 0..=next(&mut state) % 8 {
            let name = &names[next(&mut state) % names.len()];
            let file = damaged.files.get_mut(name).unwrap();
            let at = next(&mut state) % file.len().max(1);
            match next(&mut state) % 3 {
                0 => file.truncate(at),
                _ if file.is_empty() => {}
                1 => file[at] = next(&mut state) as u8,
                _ => {
                    file.remove(at);
                }
            }
        }
        match make(&upstream(), &damaged).await {
            Ok(_) => {}
            Err(Error::Descriptors(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn sets_are_wire_bytes() {
    let files = BTreeMap::from([("a".to_owned(), vec![10, 1, b'a'])]);
    let set = file_set(&Found { services: Vec::new(), files });
    assert_eq!(set, [10, 3, 10, 1, b'a']);
}
