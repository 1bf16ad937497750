//! What hops tell each other about retries: how many attempts went before, and whether to stop.
//!
//! A call that fails at the far end of a chain must be repeated by one hop, not by each of them. So a
//! repeated call says so (`grpc-previous-rpc-attempts`) and is not repeated again further in, and an
//! answer that was given up on says so (`grpc-retry-pushback-ms: -1`) and is not repeated further out.
//! A handler that turns an error of a peer into one of its own would lose the latter; therefore the
//! channel leaves a note in the task that answers the request, and the server reads it. A handler that
//! calls from a task of its own loses the note, and then the budget of the hop before is what bounds.

use std::{cell::Cell, time::Duration};

use http::{HeaderMap, HeaderValue, Response};
use tonic::Code;

use crate::telemetry::observe::grpc_status;

/// The request header with the number of attempts that went before.
pub(crate) const ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// The header or trailer of an answer with the wish of the server: milliseconds to wait, or -1.
pub(crate) const PUSHBACK: &str = "grpc-retry-pushback-ms";

tokio::task_local! {
    static GIVEN_UP: Cell<bool>;
}

/// What an answer says about repeating the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushback {
    /// Nothing.
    Silent,
    /// To wait so long.
    Wait(Duration),
    /// Not to.
    Stop,
}

impl Pushback {
    /// Reads headers or trailers. What cannot be read means stop, as gRPC wants it.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(PUSHBACK).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(PUSHBACK) { Self::Stop } else { Self::Silent };
        };
        let millis = value.to_str().ok().and_then(|text| text.parse::<u32>().ok());
        millis.map_or(Self::Stop, |millis| Self::Wait(Duration::from_millis(millis.into())))
    }
}

/// How many attempts went before this one, as its headers tell. What cannot be read counts as none.
pub(crate) fn previous_attempts(headers: &HeaderMap) -> u32 {
    let value = headers.get(ATTEMPTS).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Tells the hop before not to repeat the call.
pub(super) fn stop(headers: &mut HeaderMap) {
    headers.insert(PUSHBACK, HeaderValue::from_static("-1"));
    // Outside of a request there is nobody to tell.
    let _ = GIVEN_UP.try_with(|given_up| given_up.set(true));
}

/// Answers a request; if it fails with UNAVAILABLE after a call to a peer was given up on, the caller
/// is told not to repeat it.
pub(crate) async fn telling<B>(answer: impl Future<Output = Response<B>>) -> Response<B> {
    let noting = async {
        let mut response = answer.await;
        let headers = response.headers_mut();
        let failed = grpc_status(headers) == Some(Code::Unavailable);
        if failed && GIVEN_UP.with(Cell::get) && !headers.contains_key(PUSHBACK) {
            headers.insert(PUSHBACK, HeaderValue::from_static("-1"));
        }
        response
    };
    GIVEN_UP.scope(Cell::new(false), noting).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushback_is_a_time_or_a_stop() {
        let check = |values: &[&str], expected| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PUSHBACK, value.parse().unwrap());
            }
            assert_eq!(Pushback::of(&headers), expected, "{values:?}");
        };
        check(&[], Pushback::Silent);
        check(&["0"], Pushback::Wait(Duration::ZERO));
        check(&["250"], Pushback::Wait(Duration::from_millis(250)));
        check(&["-1"], Pushback::Stop);
        check(&["soon"], Pushback::Stop);
        check(&[""], Pushback::Stop);
        check(&["99999999999"], Pushback::Stop);
        check(&["1", "2"], Pushback::Stop);
    }

    #[tokio::test]
    async fn a_note_reaches_the_answer_of_a_failed_request_alone() {
        let check = async |note: bool, status: &'static str, expected: bool| {
            let answer = async {
                if note {
                    stop(&mut HeaderMap::new());
                }
                Response::builder().header("grpc-status", status).body(()).unwrap()
            };
            let headers = telling(answer).await.headers().clone();
            assert_eq!(Pushback::of(&headers) == Pushback::Stop, expected, "{note} {status}");
        };
        check(true, "14", true).await;
        check(true, "5", false).await;
        check(false, "14", false).await;
    }
}
