//! Sizes, orders and tokens.

use super::*;

const ORDERS: &[&str] = &["create_time desc", "create_time", "name"];

fn page(size: i32, token: &str, order: &str, filter: &str) -> Result<Page, PageError> {
    Page::parse(size, token, order, filter, ORDERS)
}

#[test]
fn sizes_are_defaulted_coerced_or_refused() {
    let check =
        |given, expected| assert_eq!(page(given, "", "", "").map(|page| page.size()), expected);
    check(0, Ok(50));
    check(1, Ok(1));
    check(1_001, Ok(1_000));
    check(i32::MAX, Ok(1_000));
    check(-1, Err(PageError::NegativeSize));
}

#[test]
fn orders_are_those_offered() {
    let check = |given, expected: Option<&str>| {
        let order = page(0, "", given, "").ok().map(|page| page.order().to_owned());
        assert_eq!(order.as_deref(), expected, "{given}");
    };
    check("", Some("create_time desc"));
    check(" create_time   desc ", Some("create_time desc"));
    check("name asc", Some("name"));
    check("name desc", None);
    check("password", None);
}

#[test]
fn a_token_leads_to_the_next_page_of_the_same_query_only() {
    let first = page(1, "", "name", "state = a").unwrap();
    assert_eq!(first.after(), None);
    let token = first.next(true, Some((7, "x")));
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let second = page(9, &token, "name", " state = a ").unwrap();
    assert_eq!(second.after(), Some((7, "x".to_owned())));
    assert_eq!(second.next(false, Some((8, "y"))), "");
    assert_eq!(page(1, &token, "create_time", "state = a"), Err(PageError::Token));
    assert_eq!(page(1, &token, "name", "state = b"), Err(PageError::Token));
}

#[test]
fn a_damaged_token_is_refused() {
    for token in ["x", "e30", "%%%", "bm9wZQ", &"a".repeat(10_000)] {
        assert_eq!(page(1, token, "", ""), Err(PageError::Token), "{token:.20}");
    }
}
