//! Pages over a list of numbers.

use super::*;

/// Reads the numbers 0..count through pages; answers how long each page was.
async fn lengths(count: i64, page_size: i32, size: usize) -> Vec<usize> {
    let mut token = String::new();
    let mut lengths = Vec::new();
    let mut seen = Vec::new();
    loop {
        let page = Page::parse(page_size, &token, "", "", &["n"]).unwrap();
        let fetch = async |after: After, limit: i64| {
            let first = after.map_or(0, |(last, _)| last + 1);
            Ok((first..count.min(first + limit)).collect::<Vec<i64>>())
        };
        let (items, next) = fill(&page, |n| (*n, String::new()), |_| size, fetch).await.unwrap();
        lengths.push(items.len());
        seen.extend(items);
        if next.is_empty() {
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
            return lengths;
        }
        token = next;
    }
}

#[tokio::test]
async fn pages_hold_what_was_asked_for() {
    assert_eq!(lengths(0, 10, 1).await, [0]);
    assert_eq!(lengths(10, 10, 1).await, [10]);
    assert_eq!(lengths(11, 10, 1).await, [10, 1]);
    assert_eq!(lengths(250, 1_000, 1).await, [250]);
    assert_eq!(lengths(1_001, 1_000, 1).await, [1_000, 1]);
}

#[tokio::test]
async fn a_page_of_large_items_ends_early() {
    assert_eq!(lengths(5, 10, 1 << 20).await, [2, 2, 1]);
    assert_eq!(lengths(2, 10, 10 << 20).await, [1, 1]);
}
