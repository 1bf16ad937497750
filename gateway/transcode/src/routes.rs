//! The routes of a set of services: what exists, and which one a request means.
//!
//! A [`Routes`] value is made once from descriptors and is cheap to clone. It is the one place that
//! says which HTTP operations exist: the router, the OpenAPI document and the metrics read the same
//! list. Reading annotations is in `builder`, walking a path in `tree`.
//!
//! Matching works on the raw path: it is split at slashes first and decoded afterwards, so an
//! encoded slash never changes which route is meant. The path is never rewritten and never
//! redirected: a trailing slash, a doubled slash or a dot segment is simply another path.

use std::{fmt, sync::Arc};

use http::{Method, StatusCode};
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};

use crate::{direct::DirectCodec, options::Options};

mod builder;
mod tree;

pub use builder::{RouteErrors, RoutesBuilder};
use tree::Tree;

/// All routes of a set of services.
#[derive(Clone)]
pub struct Routes {
    inner: Arc<Inner>,
}

struct Inner {
    pool: DescriptorPool,
    options: Options,
    codec: DirectCodec,
    routes: Vec<Route>,
    tree: Tree,
    warnings: Vec<String>,
}

/// One HTTP operation: a binding of a method to an HTTP method and a path template.
#[derive(Clone)]
pub struct Route {
    http_method: Method,
    template: Arc<str>,
    grpc_path: Arc<str>,
    method: MethodDescriptor,
    body: BodyRule,
    response_body: Option<FieldDescriptor>,
    success_status: StatusCode,
    path_fields: Vec<PathField>,
    pub(crate) plan: Plan,
}

/// Where the HTTP body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// The operation has no body.
    None,
    /// The body is the request message.
    All,
    /// The body is the value of this field of the request message.
    Field(FieldDescriptor),
}

/// A field that the path binds.
#[derive(Clone, Debug)]
pub(crate) struct PathField {
    /// The dotted path in proto names.
    pub(crate) path: String,
    /// The fields from the request message down to the scalar.
    pub(crate) fields: Vec<FieldDescriptor>,
    /// The path relative to the body's message, when the body covers the field.
    pub(crate) in_body: Option<String>,
}

/// What the conventions (see `bind`) need to know of the messages, found once at start.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    /// The body is raw bytes in a `google.api.HttpBody`.
    pub(crate) raw_in: bool,
    /// The answer (or its `response_body` field) is a `google.api.HttpBody`.
    pub(crate) raw_out: bool,
    pub(crate) streaming: bool,
    /// `request_id`, filled from `Idempotency-Key`.
    pub(crate) request_id: Option<FieldDescriptor>,
    /// `etag` of the body's message or of the request, filled from `If-Match`.
    pub(crate) etag: Option<Vec<FieldDescriptor>>,
    /// `etag` of the answer, shown as `ETag`.
    pub(crate) answer_etag: Option<FieldDescriptor>,
    /// `update_mask` and how the keys of the body become one.
    pub(crate) mask: Option<MaskPlan>,
}

/// How a missing `update_mask` is made from the keys of the body.
#[derive(Clone)]
pub(crate) struct MaskPlan {
    pub(crate) field: FieldDescriptor,
    /// PATCH names nested fields, PUT whole top-level ones.
    pub(crate) nested: bool,
    /// Paths that never enter the mask: bound by the URL, output only, or the etag.
    pub(crate) excluded: Vec<String>,
}

/// What a path and a method mean.
pub enum Found<'r> {
    /// The operation and the values of its path variables, in the order of its path fields.
    Match {
        /// The operation.
        route: &'r Route,
        /// The decoded values, one for each of [`Route::path_fields`].
        captures: Vec<String>,
    },
    /// The path exists with other methods; `allow` is the value for the `Allow` header, sorted.
    MethodNotAllowed {
        /// Method names, separated by comma and space.
        allow: String,
    },
    /// No operation has this path.
    NotFound,
    /// The path cannot be read: a broken escape, a dot segment or bytes that are not UTF-8.
    BadPath {
        /// What is wrong, for the caller to read.
        message: String,
    },
}

// === impl Routes ===

impl Routes {
    /// Finds the operation for a method and a raw (still encoded) path without its query.
    ///
    /// `HEAD` finds the `GET` operation when there is no own one.
    pub fn find(&self, method: &Method, raw_path: &str) -> Found<'_> {
        self.inner.tree.find(&self.inner.routes, method, raw_path)
    }

    /// All operations, in the order of their services, methods and bindings.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.inner.routes.iter()
    }

    /// What is allowed but worth a line in the log at start, such as a body on `GET`.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// The options that the routes were built with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The descriptors that the routes were built from.
    pub fn pool(&self) -> &DescriptorPool {
        &self.inner.pool
    }

    pub(crate) fn codec(&self) -> &DirectCodec {
        &self.inner.codec
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// === impl Route ===

impl Route {
    /// The HTTP method; `*` stands for a rule of `kind: "*"`, which takes every method.
    pub fn http_method(&self) -> &Method {
        &self.http_method
    }

    /// The path template as it is written in the contract.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The gRPC path, `/package.Service/Method`.
    pub fn grpc_path(&self) -> &str {
        &self.grpc_path
    }

    /// The method.
    pub fn method(&self) -> &MethodDescriptor {
        &self.method
    }

    /// Where the body goes.
    pub fn body(&self) -> &BodyRule {
        &self.body
    }

    /// The field of the answer that is shown instead of the whole message.
    pub fn response_body(&self) -> Option<&FieldDescriptor> {
        self.response_body.as_ref()
    }

    /// The dotted paths of the fields that the path binds, in proto names.
    pub fn path_fields(&self) -> impl Iterator<Item = &str> {
        self.path_fields.iter().map(|field| field.path.as_str())
    }

    /// The HTTP status of success.
    pub fn success_status(&self) -> StatusCode {
        self.success_status
    }

    pub(crate) fn bound(&self) -> &[PathField] {
        &self.path_fields
    }

    pub(crate) fn shared_template(&self) -> Arc<str> {
        Arc::clone(&self.template)
    }

    pub(crate) fn shared_grpc_path(&self) -> Arc<str> {
        Arc::clone(&self.grpc_path)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.http_method, self.template, self.grpc_path)
    }
}

// === impl BodyRule ===

impl BodyRule {
    /// The rule as the annotation writes it: empty, `*`, or a field name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "",
            Self::All => "*",
            Self::Field(field) => field.name(),
        }
    }
}
