//! What is mounted is served like everything else: REST, gRPC, gRPC-Web, streams, gate, documents.

use lightning_mesh::identity::Caller;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, client::Grpc};
use tonic_prost::ProstCodec;

use crate::{
    library::{Book, Library, PROTO},
    support::{Edge, upstream},
};

async fn edge() -> (Library, Edge) {
    let library = Library::start();
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    (library, edge)
}

#[tokio::test]
async fn routes_of_an_upstream_are_rest() {
    let (_library, edge) = edge().await;
    let (status, book) = edge.json("/library/v1/books/7?language=en").await;
    assert_eq!(status, 200, "{book}");
    let expected = json!({ "id": "7", "title": "The book 7", "page_count": 1_i64 << 40 });
    assert_eq!(book, expected);

    let book = json!({ "title": "Emma", "pageCount": "474" });
    let sent = edge.client.post(edge.url("/library/v1/books")).body(book.to_string());
    let answer = sent.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.unwrap()["page_count"], 474);

    let (status, body) = edge.json("/library/v1/books/7?tongue=en").await;
    assert_eq!(status, 400, "{body}");
    let refused = edge.client.delete(edge.url("/library/v1/books/7")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["allow"], "GET, HEAD, OPTIONS");
    let refused = edge.client.post(edge.url("/library.v1.Books/GetBook")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // The contract is served as before.
    assert_eq!(edge.get("/api/v1/agents").await.status(), 503);
}

#[tokio::test]
async fn errors_keep_their_details() {
    let (_library, edge) = edge().await;
    let (status, body) = edge.json("/library/v1/books/missing").await;
    assert_eq!(status, 404, "{body}");
    assert_eq!(body["error"]["message"], "no such book");
    assert_eq!(body["error"]["details"][0]["reason"], "BOOK_MISSING", "{body}");
}

#[tokio::test]
async fn streams_come_in_all_framings() {
    let (_library, edge) = edge().await;
    let check = async |accept: &str, expected: &str| {
        let request =
            edge.client.get(edge.url("/library/v1/books?count=3")).header("accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"].to_str().unwrap(), accept);
        let text = answer.text().await.unwrap();
        let compact: String = text.split_whitespace().collect();
        assert_eq!(compact.matches("\"page_count\":0").count(), 3, "{text}");
        assert!(compact.starts_with(expected), "{accept}: {text}");
    };
    check("application/json", "[{\"id\":\"0\"").await;
    check("application/x-ndjson", "{\"id\":\"0\"").await;
    check("text/event-stream", "data:{\"id\":\"0\"").await;
}

#[tokio::test]
async fn grpc_passes_through_in_both_directions() {
    let (_library, edge) = edge().await;
    let book = edge.get_book(Caller::local(), "7").await.unwrap();
    assert_eq!(book.title, "The book 7");
    let missing = edge.get_book(Caller::local(), "missing").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let info = lightning_mesh::fault::error_info(&missing).unwrap();
    assert_eq!(info.reason, "BOOK_MISSING");

    let mut client = Grpc::new(edge.harness.channel("gateway"));
    let books = ["a", "b"].map(|id| Book { id: id.to_owned(), ..Book::default() });
    let request = tonic::Request::new(futures_util::stream::iter(books.clone()));
    let path = "/library.v1.Books/RepeatBooks".parse().unwrap();
    let answer = client.streaming(request, path, ProstCodec::<Book, Book>::default()).await;
    let mut repeated = answer.unwrap().into_inner();
    for book in books {
        assert_eq!(repeated.message().await.unwrap(), Some(book));
    }
    assert_eq!(repeated.message().await.unwrap(), None);
}

#[tokio::test]
async fn grpc_web_passes_through() {
    let (_library, edge) = edge().await;
    let message = b"\x0a\x017";
    let mut body = vec![0, 0, 0, 0, 3];
    body.extend_from_slice(message);
    let request = edge.client.post(edge.url("/library.v1.Books/GetBook")).body(body);
    let request = request.header("content-type", "application/grpc-web+proto");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("The book 7") && text.contains("grpc-status:0"), "{text:?}");
}

#[tokio::test]
async fn callers_need_the_permission() {
    let library = Library::start();
    let strict = upstream("library", &library.url());
    let edge = Edge::mounted(vec![strict.clone()]).await;
    let nobody = Caller::new("user:1", "ada", ["agents.*", "*.read"]);
    let refused = edge.get_book(nobody, "7").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("upstreams.library"), "{refused}");
    edge.get_book(Caller::new("user:1", "ada", ["upstreams.*"]), "7").await.unwrap();
    let methods = edge.upstream("library").await["methods"].clone();
    let of = |name: &str| {
        let methods = methods.as_array().unwrap().iter();
        let found = methods.clone().find(|method| method["grpc_method"] == name);
        found.unwrap()["permission"].clone()
    };
    assert_eq!(of("library.v1.Books/AddBook"), "agents.write");
    assert_eq!(of("library.v1.Books/GetBook"), "upstreams.library");

    let edge = Edge::mounted(vec![lightning_gateway::Upstream {
        permission: Some("agents.read".to_owned()),
        ..strict.clone()
    }])
    .await;
    edge.get_book(Caller::new("user:1", "ada", ["agents.read"]), "7").await.unwrap();

    let public = lightning_gateway::Upstream { public: true, ..strict };
    let edge = Edge::mounted(vec![public]).await;
    edge.get_book(Caller::new("user:1", "ada", [""; 0]), "7").await.unwrap();
}

#[tokio::test]
async fn an_upstream_cannot_open_itself() {
    let proto = PROTO.replace("\"agents.write\"", "\"public\"");
    let library = Library::start_with(&proto);
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    for method in edge.upstream("library").await["methods"].as_array().unwrap() {
        assert_eq!(method["permission"], "upstreams.library", "{method}");
    }
}

#[tokio::test]
async fn internal_methods_of_an_upstream_are_for_services() {
    let library = Library::start_with(&PROTO.replace("\"agents.write\"", "\"internal\""));
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    let sent = edge.client.post(edge.url("/library/v1/books")).body("{}");
    let answer = sent.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn credentials_and_forged_callers_stay_here() {
    let (library, edge) = edge().await;
    let headers = async |edge: &Edge| {
        let request = edge.client.get(edge.url("/library/v1/books/headers"));
        let request = request.header("authorization", "Bearer local").header("cookie", "a=b");
        let answer = request.header("x-lightning-caller", "user:root").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("set-cookie"));
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        answer.json::<Value>().await.unwrap()["title"].clone()
    };
    assert_eq!(headers(&edge).await, "local - - -");
    // Not even the token of the mesh that a caller over the pipe has.
    let book = edge.get_book(Caller::new("user:1", "ada", ["*"]), "headers").await.unwrap();
    assert_eq!(book.title, "user:1 - - -");
    let passing = lightning_gateway::Upstream {
        pass_credentials: true,
        ..upstream("library", &library.url())
    };
    let edge = Edge::mounted(vec![passing]).await;
    assert_eq!(headers(&edge).await, "local Bearer local - a=b");
    let book = edge.get_book(Caller::new("user:1", "ada", ["*"]), "headers").await.unwrap();
    assert_eq!(book.title, "user:1 - - -", "a token of the mesh is never passed");
}

#[tokio::test]
async fn calls_are_counted_by_their_methods() {
    let (_library, edge) = edge().await;
    edge.get("/library/v1/books/7").await;
    edge.get_book(Caller::local(), "7").await.unwrap();
    let figures = edge.get("/metrics").await.text().await.unwrap();
    let counted = "method=\"library.v1.Books/GetBook\",code=\"OK\"} 2";
    assert!(figures.contains(counted), "{figures}");
}

#[tokio::test]
async fn unary_calls_have_a_deadline_by_default() {
    let (_library, edge) = edge().await;
    let (_, book) = edge.json("/library/v1/books/timeout").await;
    let timeout = book["title"].as_str().unwrap();
    assert!(timeout.ends_with(['m', 'u', 'n', 'S']) && timeout != "-", "{timeout}");
    let request = edge.client.get(edge.url("/library/v1/books/slow"));
    let answer = request.header("x-request-timeout", "50ms").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn the_document_holds_what_is_mounted() {
    let (_library, edge) = edge().await;
    let (_, document) = edge.json("/openapi.json").await;
    let operation = &document["paths"]["/library/v1/books/{id}"]["get"];
    assert_eq!(operation["x-permission"], "upstreams.library", "{operation}");
    assert_eq!(operation["x-upstream"], "library");
    let book = &document["components"]["schemas"]["library.library.v1.Book"];
    assert_eq!(book["properties"]["title"]["type"], "string", "{book}");
    assert!(document["paths"]["/api/v1/agents"].is_object());
}

#[tokio::test]
async fn reflection_shows_what_is_mounted() {
    let (_library, edge) = edge().await;
    // The gateway is itself an upstream that can be read: nothing but reflection tells of the library.
    let second = upstream("second", &edge.harness.rest("gateway"));
    let services = vec!["library.v1.Books".to_owned()];
    let second = Edge::mounted(vec![lightning_gateway::Upstream { services, ..second }]).await;
    let routes = second.upstream("second").await["methods"].clone();
    assert!(routes.to_string().contains("GET /library/v1/books/{id}"), "{routes}");
}

#[tokio::test]
async fn a_server_that_knows_only_the_old_reflection_is_mounted() {
    let library = Library::start();
    library.speak_old();
    let edge = Edge::mounted(vec![upstream("library", &library.url())]).await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
}

#[tokio::test]
async fn only_the_named_services_are_mounted() {
    let second = "service Shelves { rpc GetShelf(GetBookRequest) returns (Book) { \
        option (google.api.http) = {get: \"/library/v1/shelves/{id}\"}; } }\n// A book.";
    let library = Library::start_with(&PROTO.replacen("// A book.", second, 1));
    let named = lightning_gateway::Upstream {
        services: vec!["library.v1.Books".to_owned()],
        ..upstream("library", &library.url())
    };
    let edge = Edge::mounted(vec![named]).await;
    assert_eq!(edge.get("/library/v1/books/7").await.status(), 200);
    assert_eq!(edge.get("/library/v1/shelves/7").await.status(), 404);
}

#[tokio::test]
async fn requests_are_explained() {
    let (library, edge) = edge().await;
    let explain = async |query: &str| edge.json(&format!("/debug/explain?{query}")).await;
    let (status, body) = explain("path=/library/v1/books/7%3Flanguage=en").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["kind"], "rest");
    assert_eq!(body["template"], "/library/v1/books/{id}");
    assert_eq!(body["grpc_method"], "library.v1.Books/GetBook");
    let bindings = json!([
        { "field": "id", "source": "path", "value": "7" },
        { "field": "language", "source": "query", "value": "en" },
    ]);
    assert_eq!(body["bindings"], bindings);
    let target = json!({ "service": "library", "upstream": true, "addresses": [library.url()] });
    assert_eq!(body["target"], target);
    assert_eq!(body["permission"], "upstreams.library");
    assert_eq!(body["policies"]["retryable"], true);
    assert_eq!(body["policies"]["timeout"], "30s");

    let (_, body) = explain("method=put&path=/api/v1/agents/7").await;
    assert_eq!(body["grpc_method"], "lightning.agents.v1.AgentService/UpdateAgent", "{body}");
    assert_eq!(body["permission"], "agents.write");
    assert_eq!(body["target"]["service"], "agents");
    assert_eq!(body["bindings"][1]["source"], "body", "{body}");
    let (_, body) = explain("method=post&path=/api/v1/auth/login").await;
    let limits = &body["policies"]["rate_limits"];
    assert_eq!(limits, &serde_json::json!(["\"sign-in\";q=120;w=60"]), "{body}");
    let (_, body) = explain("path=/library.v1.Books/RepeatBooks").await;
    assert_eq!((&body["kind"], &body["policies"]["streaming"]), (&json!("grpc"), &json!(true)));
    let (_, body) = explain("path=/dashboard/x").await;
    assert_eq!((&body["kind"], &body["target"]["service"]), (&json!("http"), &json!("monitoring")));
    let (_, body) = explain("path=/health").await;
    assert_eq!(body["kind"], "built_in");

    let check = async |query: &str, expected: u16, reason: &str| {
        let (status, body) = explain(query).await;
        assert_eq!(status, expected, "{body}");
        assert_eq!(body["error"]["details"][0]["reason"], reason, "{body}");
    };
    check("path=/nothing", 404, "ROUTE_NOT_FOUND").await;
    check("method=DELETE&path=/library/v1/books", 404, "ROUTE_NOT_FOUND").await;
    check("path=nothing", 400, "REQUEST_INVALID").await;
    check("path=/a/../b", 400, "REQUEST_INVALID").await;
    check("path=/a&method=G%20T", 400, "REQUEST_INVALID").await;
}

#[tokio::test]
async fn only_operators_are_told() {
    use lightning_proto::gateway::v1::{
        ListUpstreamsRequest, debug_service_client::DebugServiceClient,
    };

    let edge = Edge::start(Vec::new()).await;
    let developer = Caller::new("user:1", "ada", ["agents.*", "*.read"]);
    let mut client = DebugServiceClient::new(edge.harness.channel_as("gateway", developer));
    let refused = client.list_upstreams(ListUpstreamsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("gateway.debug"), "{refused}");
    let tenant = Caller::new("user:2", "eve", ["*"]).member_of("other");
    let mut client = DebugServiceClient::new(edge.harness.channel_as("gateway", tenant));
    let refused = client.list_upstreams(ListUpstreamsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("operator"), "{refused}");
}
