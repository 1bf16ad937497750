//! The limits of a batch.

use super::Batch;
use crate::{Error, params};

#[test]
fn a_batch_over_its_limits_is_refused() {
    let large = Batch::new().then("INSERT", params![vec![0_u8; 33 << 20]]);
    assert!(matches!(large.check(), Err(Error::TooLarge { what: "a batch", .. })));

    let many = (0..10_001).fold(Batch::new(), |batch, _| batch.then("INSERT", params![]));
    assert!(matches!(many.check(), Err(Error::TooLarge { limit: 10_000, .. })));
}

#[test]
fn values_that_databases_disagree_on_are_refused() {
    let nul = Batch::new().then("A", params![1]).then("B", params!["a\0b"]);
    assert!(matches!(nul.check(), Err(Error::Parameter { statement: 1, .. })));

    let nan = Batch::new().then("A", params![f64::NAN]);
    assert!(matches!(nan.check(), Err(Error::Parameter { statement: 0, .. })));
}

#[test]
fn appending_keeps_the_order() {
    let batch = Batch::new().then("A", params![]).append(Batch::new().then("B", params![]));
    let texts: Vec<_> = batch.statements().iter().map(|statement| statement.sql).collect();
    assert_eq!(texts, ["A", "B"]);
}
