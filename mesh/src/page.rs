//! Lists in pages (AIP-158): size, order and an opaque token that says where to go on.
//!
//! The token holds the key of the last item that was shown and a hash of the order and filter it was
//! shown under, so a token used with another query is refused instead of answering nonsense. It holds
//! no snapshot: an item changed between two pages appears where it now belongs.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Page size when none is asked for.
pub const DEFAULT_SIZE: usize = 50;
/// The largest page; a larger wish is cut down to it.
pub const MAX_SIZE: usize = 1_000;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 4_096;

/// Where in a list the caller is, and how it wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    size: usize,
    order: String,
    query: String,
    after: Option<Vec<String>>,
}

/// What an opaque page token holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    /// Hash of the order and the filter.
    q: String,
    /// Key of the last item shown.
    k: Vec<String>,
}

/// Why a page cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The size is below zero.
    #[error("page_size must not be negative")]
    NegativeSize,
    /// The token is damaged or belongs to another query.
    #[error("page_token is not one that this list handed out for the same order_by and filter")]
    Token,
    /// The order is not offered.
    #[error("order_by {given:?} is not offered; use one of: {allowed}")]
    Order {
        /// What was asked for (cut to 100 characters).
        given: String,
        /// What is offered, separated by commas.
        allowed: String,
    },
}

// === impl Page ===

impl Page {
    /// Reads the four list arguments. `allowed_orders` are the orders the list offers, written like
    /// `"create_time desc"`, the default first.
    pub fn parse(
        page_size: i32,
        page_token: &str,
        order_by: &str,
        filter: &str,
        allowed_orders: &[&str],
    ) -> Result<Self, PageError> {
        let size = match usize::try_from(page_size) {
            Err(_) => return Err(PageError::NegativeSize),
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
        };
        let order = find_order(order_by, allowed_orders)?;
        let query = query_hash(&order, filter);
        let after = match page_token {
            "" => None,
            text => Some(
                PageToken::decode(text).filter(|token| token.q == query).ok_or(PageError::Token)?.k,
            ),
        };
        Ok(Self { size, order, query, after })
    }

    /// How many items to show. Fetch one more, to know whether there is a next page.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The order, as written in `allowed_orders`.
    pub fn order(&self) -> &str {
        &self.order
    }

    /// The key to go on after, for lists in the order of a time and an id. `None` on the first page,
    /// and if the token holds another kind of key.
    pub fn after(&self) -> Option<(i64, String)> {
        match self.after.as_deref() {
            Some([micros, id]) => Some((micros.parse().ok()?, id.clone())),
            Some(_) | None => None,
        }
    }

    /// The key to go on after, as its parts.
    pub fn after_key(&self) -> Option<&[String]> {
        self.after.as_deref()
    }

    /// The token of the next page after the item with this time and id; empty when there is no more.
    pub fn next(&self, more: bool, last: Option<(i64, &str)>) -> String {
        match last {
            Some((micros, id)) => self.next_key(more, &[&micros.to_string(), id]),
            None => String::new(),
        }
    }

    /// The token of the next page after the item with this key; empty when there is no more.
    pub fn next_key(&self, more: bool, last: &[&str]) -> String {
        if !more {
            return String::new();
        }
        let key = last.iter().map(|part| (*part).to_owned()).collect();
        PageToken { q: self.query.clone(), k: key }.encode()
    }
}

// === impl PageToken ===

impl PageToken {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("strings always serialize"))
    }

    fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

fn find_order(given: &str, allowed: &[&str]) -> Result<String, PageError> {
    let wanted = normal_order(given);
    if wanted.is_empty() {
        return Ok(allowed.first().copied().unwrap_or_default().to_owned());
    }
    allowed
        .iter()
        .find(|order| normal_order(order) == wanted)
        .map(|order| (*order).to_owned())
        .ok_or_else(|| PageError::Order {
            given: given.chars().take(100).collect(),
            allowed: allowed.join(", "),
        })
}

/// Blanks made single and `asc`, which is the default, left out.
fn normal_order(order: &str) -> String {
    let terms = order.split(',').map(|term| {
        let mut words: Vec<&str> = term.split_whitespace().collect();
        if words.last().is_some_and(|last| last.eq_ignore_ascii_case("asc")) {
            words.pop();
        }
        words.join(" ")
    });
    terms.collect::<Vec<_>>().join(",")
}

fn query_hash(order: &str, filter: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{order}\n{}", filter.trim()).as_bytes());
    hash.as_ref().iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests;
