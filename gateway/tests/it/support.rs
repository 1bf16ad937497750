//! A gateway with upstreams, asked over REST, gRPC and gRPC-Web.

use std::time::Duration;

use lightning_gateway::{Config, Upstream};
use lightning_mesh::{identity::Caller, testing::Harness};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tonic::{Status, client::Grpc};
use tonic_prost::ProstCodec;

use crate::library::{Book, GetBook};

/// A gateway and a client of it.
pub(crate) struct Edge {
    pub(crate) harness: Harness,
    pub(crate) client: Client,
}

/// `[[gateway.upstream]]` with a short refresh and nothing else said.
pub(crate) fn upstream(name: &str, address: &str) -> Upstream {
    Upstream {
        name: name.to_owned(),
        addresses: vec![address.to_owned()],
        services: Vec::new(),
        permission: None,
        public: false,
        pass_credentials: false,
        refresh: Duration::from_millis(100),
    }
}

impl Edge {
    pub(crate) async fn start(upstreams: Vec<Upstream>) -> Self {
        let mut harness = Harness::new(&["gateway"]);
        let context = harness.context("gateway");
        let config = Config { upstream: upstreams, ..Config::default() };
        let store = lightning_store::Settings::default();
        let service = lightning_gateway::open(config, &store, context.clone()).await.unwrap();
        harness.serve(service, &context).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { harness, client }
    }

    /// A gateway on which the upstreams are mounted already.
    pub(crate) async fn mounted(upstreams: Vec<Upstream>) -> Self {
        let names: Vec<_> = upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let edge = Self::start(upstreams).await;
        for name in names {
            edge.until(&name, |upstream| upstream["state"] == "mounted").await;
        }
        edge
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.harness.rest("gateway"))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> (StatusCode, Value) {
        let response = self.get(path).await;
        (response.status(), response.json().await.unwrap())
    }

    /// What `/debug/upstreams` says of an upstream.
    pub(crate) async fn upstream(&self, name: &str) -> Value {
        let (status, body) = self.json("/debug/upstreams").await;
        assert_eq!(status, 200, "{body}");
        let all = body["upstreams"].as_array().unwrap();
        all.iter().find(|upstream| upstream["id"] == name).unwrap().clone()
    }

    /// Waits until an upstream is as it should be.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..500 {
            ticks.tick().await;
            let upstream = self.upstream(name).await;
            if wanted(&upstream) {
                return upstream;
            }
        }
        panic!("{name} stays {:#}", self.upstream(name).await);
    }

    /// Gets a book over gRPC.
    pub(crate) async fn get_book(&self, caller: Caller, id: &str) -> Result<Book, Status> {
        let mut client = Grpc::new(self.harness.channel_as("gateway", caller));
        let path = "/library.v1.Books/GetBook".parse().unwrap();
        let request = tonic::Request::new(GetBook { id: id.to_owned() });
        let codec = ProstCodec::<GetBook, Book>::default();
        client.unary(request, path, codec).await.map(tonic::Response::into_inner)
    }
}
