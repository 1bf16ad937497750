//! Where the edge has its say: about each call once its caller is known, and around each request as
//! HTTP.
//!
//! A [`Policy`] stands in the gate, so that it is asked exactly once per call whatever protocol the call
//! came in, after the credential was read and before the permission is looked at. A [`Wrap`] stands
//! between the observation of a request (its span, its count) and everything that answers it. Nothing
//! here decides anything: what the rules are is the business of whoever brings them.

use futures_util::future::BoxFuture;
use http::{Extensions, HeaderMap, Request, Response};

use crate::{body::Body, fault::Fault, identity::Caller, serve::Peer};

pub use crate::serve::Next;

/// What a policy is told of a call.
pub struct Call<'a> {
    /// `/package.Service/Method`; for plain HTTP, the prefix below which the page lies.
    pub path: &'a str,
    /// Who calls; none when the credential was refused.
    pub caller: Option<&'a Caller>,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// What was found out about the request so far, such as its
    /// [`MatchedRoute`](lightning_transcode::MatchedRoute).
    pub extensions: &'a Extensions,
}

impl Call<'_> {
    /// Where the request came from.
    pub fn peer(&self) -> Option<Peer> {
        self.extensions.get::<Peer>().copied()
    }
}

/// Decides whether a call goes on.
pub trait Policy: Send + Sync + 'static {
    /// Lets the call pass or says why not. A call whose credential was refused is asked about too, so
    /// that failing is not free; it fails in either case.
    fn check<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Stands around every request of a service but probes and scrapes.
pub trait Wrap: Send + Sync + 'static {
    /// Answers the request, as a rule with the help of `next`.
    fn wrap<'a>(&'a self, request: Request<Body>, next: Next<'a>) -> BoxFuture<'a, Response<Body>>;
}
