//! Pages of lists that are in memory as a whole, in the order in which they are.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lightning_mesh::{fault::Fault, page::Page};
use lightning_proto::mesh::v1::ErrorReason;

/// The one order of these lists; nobody can name another.
const AS_THEY_ARE: [&str; 1] = ["id"];

/// The items of a page and the token of the next one. A token names the place and the item before it: an
/// item that is gone when its page is asked for leaves the place, so that none is shown twice or left out
/// but those that came or went meanwhile.
pub(crate) fn page_of<T>(
    mut items: Vec<T>,
    page_size: i32,
    page_token: &str,
    key: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, String), Fault> {
    let size = Page::parse(page_size, "", "", "", &AS_THEY_ARE)?.size();
    let start = match page_token {
        "" => 0,
        token => {
            let (place, last) = read(token).ok_or_else(|| {
                Fault::invalid(ErrorReason::InvalidArgument)
                    .message("page_token is not one that a page of this list ended with")
                    .field("page_token", "must be the next_page_token of the page before")
            })?;
            let found = items.iter().position(|item| key(item) == last);
            found.map_or(place, |at| at + 1).min(items.len())
        }
    };
    items.drain(..start);
    let more = items.len() > size;
    items.truncate(size);
    let next = match items.last().filter(|_| more) {
        Some(last) => URL_SAFE_NO_PAD.encode(format!("{}.{}", start + size, key(last))),
        None => String::new(),
    };
    Ok((items, next))
}

fn read(token: &str) -> Option<(usize, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (place, last) = text.split_once('.')?;
    Some((place.parse().ok()?, last.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::page_of;

    #[test]
    fn pages_follow_each_other_even_when_items_go() {
        let whole: Vec<String> = (0..5).map(|n| format!("i{n}")).collect();
        let page = |items: &[String], token: &str| {
            page_of(items.to_vec(), 2, token, String::as_str).unwrap()
        };
        let (first, token) = page(&whole, "");
        assert_eq!(first, ["i0", "i1"]);
        let (second, next) = page(&whole, &token);
        assert_eq!(second, ["i2", "i3"]);
        assert_eq!(page(&whole, &next), (vec!["i4".to_owned()], String::new()));
        // The first one went: the item before the next page is found all the same.
        assert_eq!(page(&whole[1..], &token).0, ["i2", "i3"]);
        // That item itself went: the place is what is left.
        let without: Vec<String> = whole.iter().filter(|one| *one != "i1").cloned().collect();
        assert_eq!(page(&without, &token).0, ["i3", "i4"]);
        assert!(page_of(whole, 2, "?", String::as_str).is_err());
    }
}
