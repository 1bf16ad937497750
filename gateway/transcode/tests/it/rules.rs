//! Faults in HTTP rules stop the start, all of them at once and with the methods named.

use lightning_transcode::{Found, Options, RoutesBuilder};
use prost_reflect::DescriptorPool;

use super::support::{options, pool};

/// Builds the routes of a small contract that is compiled from text.
fn build(methods: &str) -> Result<lightning_transcode::Routes, String> {
    let folder = tempdir();
    let text = format!(
        "syntax = \"proto3\"; package bad.v1; import \"google/api/annotations.proto\"; \
         import \"google/protobuf/timestamp.proto\"; \
         message Inner {{ string b = 1; repeated string many = 2; }} \
         message In {{ string x = 1; string y = 2; Inner sub = 3; repeated string tags = 4; \
         map<string, string> labels = 5; google.protobuf.Timestamp at = 6; repeated Inner more = 7; }} \
         service S {{ {methods} }}"
    );
    std::fs::write(format!("{folder}/bad.proto"), text).unwrap();
    let proto = format!("{}/../../proto", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([folder.as_str(), proto.as_str()]).unwrap();
    compiler.include_imports(true).open_file("bad.proto").map_err(|error| error.to_string())?;
    std::fs::remove_dir_all(&folder).unwrap();
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    RoutesBuilder::new(pool, Options::default())
        .add_all()
        .build()
        .map_err(|error| error.to_string())
}

fn tempdir() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = format!("{}/rules-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn rpc(name: &str, rule: &str) -> String {
    format!("rpc {name}(In) returns (In) {{ option (google.api.http) = {{ {rule} }}; }}\n")
}

fn check(rule: &str, fault: &str) {
    let error = build(&rpc("Do", rule)).err().unwrap_or_else(|| panic!("{rule} was accepted"));
    assert!(error.contains(fault), "{rule}: {error}");
    assert!(error.contains("bad.v1.S.Do (bad.proto)"), "{rule}: {error}");
}

#[test]
fn rules_that_do_not_fit_are_refused() {
    check(r#"get: "/{nope}""#, "has no field nope");
    check(r#"get: "/{sub}""#, "is a message");
    check(r#"get: "/{tags}""#, "is repeated");
    check(r#"get: "/{labels}""#, "is repeated");
    check(r#"get: "/{more.b}""#, "more is repeated");
    check(r#"get: "/{x.b}""#, "has no fields");
    check(r#"get: "/{at.seconds}""#, "has no fields");
    check(r#"get: "/{sub.many}""#, "is repeated");
    check(r#"get: "/a" body: "a.b""#, "top-level");
    check(r#"get: "/a" body: "nope""#, "not a field");
    check(r#"get: "/a" response_body: "nope""#, "not a top-level field");
    check(r#"get: "/a" response_body: "sub.b""#, "not a top-level field");
    check(r#"post: "/{x}" body: "x""#, "by the path and by the body");
    check(r#"get: "a""#, "begins with a slash");
    check(r#"body: "*""#, "names no method");
    check(r#"custom { kind: "no good" path: "/a" }"#, "not an HTTP method");
    check(
        r#"get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }"#,
        "do not nest",
    );
    check(r#"get: "/{x}" additional_bindings { get: "/{y}" }"#, "same operation");
    check(r#"get: "/{x}" additional_bindings { get: "/{y=*}" }"#, "same operation");
    check(r#"get: "/a/{x}" additional_bindings { get: "/{y=a/*}" }"#, "same operation");
    check(r#"get: "/%2f" additional_bindings { get: "/%2F" }"#, "same operation");
}

#[test]
fn one_operation_of_two_methods_names_both_and_all_faults_are_told() {
    let methods = [
        rpc("First", r#"get: "/v1/{x}""#),
        rpc("Second", r#"get: "/v1/{y}""#),
        rpc("Third", r#"get: "/{nope}""#),
    ];
    let error = build(&methods.concat()).unwrap_err();
    for part in
        ["bad.v1.S.First (bad.proto)", "bad.v1.S.Second (bad.proto)", "bad.v1.S.Third", "2 faults"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn client_streaming_with_a_rule_is_refused() {
    let rpc = "rpc Do(stream In) returns (In) { option (google.api.http) = { post: \"/a\" body: \"*\" }; }";
    assert!(build(rpc).unwrap_err().contains("client-streaming"));
}

#[test]
fn allowed_neighbours_are_accepted() {
    let methods = [
        rpc("A", r#"get: "/v1/*" additional_bindings { get: "/v1/**" }"#),
        rpc("B", r#"get: "/v1/{x}:go" additional_bindings { post: "/v1/{x}:go" body: "*" }"#),
        rpc("C", r#"get: "/t/{at}" additional_bindings { get: "/s/{sub.b}" }"#),
        rpc("D", r#"delete: "/v1/{x}" body: "*""#),
    ];
    let routes = build(&methods.concat()).unwrap();
    assert_eq!(routes.iter().count(), 7);
    assert_eq!(routes.warnings().len(), 1, "a body on DELETE deserves a warning");
}

#[test]
fn unknown_services_and_typed_descriptor_sets_are_refused() {
    let error = RoutesBuilder::new(pool(), options()).add_service("no.Such").build().unwrap_err();
    assert!(error.to_string().contains("no.Such"));
    let error = RoutesBuilder::new(DescriptorPool::new(), options()).build().unwrap_err();
    assert!(error.to_string().contains("google.api.http"));
}

#[test]
fn routes_can_be_listed_and_found() {
    let routes =
        RoutesBuilder::new(pool(), options()).add_service("test.v1.Books").build().unwrap();
    let listed: Vec<String> = routes.iter().map(|route| format!("{route:?}")).collect();
    assert_eq!(listed[2], "PUT /v1/books/{book.id} -> /test.v1.Books/UpdateBook");
    let update = routes.iter().nth(3).unwrap();
    assert_eq!(update.path_fields().collect::<Vec<_>>(), ["book.id"]);
    assert_eq!((update.body().as_str(), update.success_status().as_u16()), ("book", 200));
    let found = routes.find(&http::Method::GET, "/v1/books/a%20b");
    let Found::Match { route, captures } = found else { panic!("not found") };
    assert_eq!(
        (route.template(), captures.as_slice()),
        ("/v1/books/{id}", &["a b".to_owned()][..])
    );
    assert!(matches!(routes.find(&http::Method::GET, "/v2/x"), Found::NotFound));
}
