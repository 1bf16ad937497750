//! Compression of answers for those who ask for it, and of request bodies for those who send it.
//!
//! What is compressed: text, JSON and their like, above a size. What is not: gRPC (it compresses its
//! messages itself), what is compressed already, parts, and what must not be stored: answers with tokens
//! do not share a compressor with text that a stranger may choose (BREACH). Streams of events are not
//! either: they are many, live long and say little at a time, and each would keep a compressor's memory.
//! What else comes bit by bit is flushed as it comes.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use lightning_mesh::body::{Body, boxed};

use crate::config::CompressionConfig;

pub(crate) mod accept;
mod decode;
mod encode;

#[cfg(test)]
mod tests;

pub(crate) use accept::Encoding;

/// What request bodies may be encoded with, for those who sent something else.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, br, zstd");

/// Why a request body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported;

/// Puts a decoder before the body of a request that is compressed; what comes out is at most `limit`
/// bytes and one more, which whoever reads it finds to be too many.
pub(crate) fn decode(parts: &mut Parts, body: Body, limit: usize) -> Result<Body, Unsupported> {
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = match (encodings.next(), encodings.next()) {
        (None, _) => return Ok(body),
        (Some(value), None) => value.to_str().map_err(|_| Unsupported)?.trim(),
        (Some(_), Some(_)) => return Err(Unsupported),
    };
    if encoding.eq_ignore_ascii_case("identity") {
        return Ok(body);
    }
    let encoding = Encoding::of(encoding).ok_or(Unsupported)?;
    let decoded = decode::Decoded::new(body, encoding, limit).ok_or(Unsupported)?;
    parts.headers.remove(header::CONTENT_ENCODING);
    // It is the length of something else now.
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(boxed(decoded))
}

/// What a request said that its answer's compression depends on.
pub(crate) struct Wish {
    encoding: Option<Encoding>,
    head: bool,
}

impl Wish {
    pub(crate) fn of(parts: &Parts) -> Self {
        let encoding = accept::choose(&parts.headers);
        Self { encoding, head: parts.method == Method::HEAD }
    }

    /// Compresses an answer if it was wished for and makes sense.
    pub(crate) fn grant(
        self,
        config: &CompressionConfig,
        response: Response<Body>,
    ) -> Response<Body> {
        if !config.answers || !fits(response.headers(), response.status()) {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        // Caches must know that others may be answered otherwise, whatever this one wished for.
        parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        let length = body.size_hint().exact();
        let long_enough = length.is_none_or(|length| length >= config.min_bytes);
        let Some(encoding) = self.encoding.filter(|_| long_enough && !self.head) else {
            return Response::from_parts(parts, body);
        };
        // Without memory for a compressor the answer goes out as it is.
        let Some(encoder) = encode::Encoder::new(encoding) else {
            return Response::from_parts(parts, body);
        };
        let encoded = encode::Encoded::new(body, encoder, length.is_none());
        let headers = &mut parts.headers;
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::ACCEPT_RANGES);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        weaken(headers);
        Response::from_parts(parts, boxed(encoded))
    }
}

/// Whether an answer is one that compression is for.
fn fits(headers: &HeaderMap, status: StatusCode) -> bool {
    let has_body = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    let secret = headers.contains_key(header::SET_COOKIE)
        || headers.get(header::CACHE_CONTROL).is_some_and(|value| {
            let directives = value.to_str().unwrap_or_default().split(',');
            directives.map(str::trim).any(|it| it == "no-store" || it == "no-transform")
        });
    let encoded = headers.contains_key(header::CONTENT_ENCODING);
    has_body && !secret && !encoded && headers.get(header::CONTENT_TYPE).is_some_and(is_text)
}

fn is_text(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim();
    (media.starts_with("text/") && media != "text/event-stream")
        || media.ends_with("+json")
        || media.ends_with("+xml")
        || matches!(
            media,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/yaml"
                | "application/wasm"
        )
}

/// The bytes are others than those that the tag was for; weakly it is still the same resource.
fn weaken(headers: &mut HeaderMap) {
    let weak = headers.get(header::ETAG).and_then(|tag| {
        let tag = tag.to_str().ok().filter(|tag| !tag.starts_with("W/"))?;
        HeaderValue::try_from(format!("W/{tag}")).ok()
    });
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}
