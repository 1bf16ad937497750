//! Filling pages: as many items as asked for, but no more than fit into one message.
//!
//! A gRPC message has at most 4 MiB, and fifty executions with large inputs are more. So a page may be
//! shorter than asked for (AIP-158 allows it); its token goes on where it ends. Rows are read in
//! chunks, so that a large page of large rows is never in memory at once.

use lightning_mesh::page::Page;

use crate::{Error, store::After};

/// About how many bytes of items make a page full: 2 MiB, half of what a message may have.
pub(crate) const BYTES: usize = 2 << 20;
/// How many rows are read at once.
const CHUNK: usize = 50;

/// Fills a page with what `fetch` answers for a key to go on after and a limit. `key` tells an item's
/// key, `size` about how many bytes it takes. Answers the items and the token of the next page.
pub(crate) async fn fill<T, F>(
    page: &Page,
    key: impl Fn(&T) -> (i64, String),
    size: impl Fn(&T) -> usize,
    fetch: impl Fn(After, usize) -> F,
) -> Result<(Vec<T>, String), Error>
where
    F: Future<Output = Result<Vec<T>, Error>>,
{
    let mut items: Vec<T> = Vec::new();
    let mut bytes = 0;
    let mut after = page.after();
    loop {
        // One more than shown, to know whether there is a next page.
        let wanted = (page.size() + 1 - items.len()).min(CHUNK);
        let rows = fetch(after, wanted).await?;
        let exhausted = rows.len() < wanted;
        for row in rows {
            let full = items.len() == page.size() || bytes + size(&row) > BYTES;
            if let Some((number, id)) = items.last().filter(|_| full).map(&key) {
                return Ok((items, page.next(true, Some((number, &id)))));
            }
            bytes += size(&row);
            items.push(row);
        }
        if exhausted {
            return Ok((items, String::new()));
        }
        after = items.last().map(&key);
    }
}

/// About how many bytes a JSON value takes on the wire.
pub(crate) fn weight(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 12,
        Value::String(text) => 8 + text.len(),
        Value::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => {
            8 + fields.iter().map(|(key, field)| 16 + key.len() + weight(field)).sum::<usize>()
        }
    }
}
