//! What the tables say of the standard details, whose descriptors are always at hand.

use std::sync::Arc;

use prost_reflect::DescriptorPool;

use super::{FieldKind, NameMap, Shape, Tables, Tag};
use crate::{json::Style, status::known};

#[test]
fn a_field_is_found_by_number_and_by_both_names() {
    let tables = Tables::new(known::pool());
    let id = tables.find("google.rpc.BadRequest").unwrap();
    let table = tables.message(id);
    for name in ["field_violations", "fieldViolations"] {
        assert_eq!(table.slot_of_name(name.as_bytes()), Some(0), "{name}");
    }
    assert_eq!(table.slot_of_name(b"fieldviolations"), None);
    assert_eq!((table.slot_of_number(1), table.slot_of_number(2)), (Some(0), None));
    let field = &table.fields[0];
    assert_eq!((field.shape, field.tag.bytes()), (Shape::Repeated, &b"\x0a"[..]));
    assert_eq!(field.key(Style::Product), b"\"field_violations\":");
    assert_eq!(field.key(Style::Canonical), b"\"fieldViolations\":");
    assert!(matches!(field.kind, FieldKind::Message(_)));
}

#[test]
fn a_pool_without_details_gets_them_beside_its_own() {
    let tables = Tables::new(&DescriptorPool::new());
    assert!(tables.find("google.rpc.RetryInfo").is_some());
    assert!(tables.own("google.rpc.RetryInfo").is_none());
    assert!(Tables::new(known::pool()).own("google.rpc.RetryInfo").is_some());
}

#[test]
fn tags_are_the_varints_of_number_and_wire_type() {
    fn check(number: u32, wire_type: u8, bytes: &[u8]) {
        assert_eq!(Tag::new(number, wire_type).bytes(), bytes, "{number}");
    }
    check(1, 0, &[0x08]);
    check(15, 2, &[0x7a]);
    check(16, 2, &[0x82, 0x01]);
    check((1 << 29) - 1, 5, &[0xfd, 0xff, 0xff, 0xff, 0x0f]);
}

#[test]
fn names_are_found_and_others_are_not() {
    let names: Vec<String> = (0..500).map(|at| format!("field_{at}")).collect();
    let map = NameMap::new(names.iter().zip(0..));
    for (name, at) in names.iter().zip(0..) {
        assert_eq!(map.get(name.as_bytes()), Some(at));
    }
    assert_eq!(map.get(b"field_500"), None);
    assert_eq!(map.get(b""), None);
    let map: NameMap<u8> = NameMap::new::<&str>([]);
    assert_eq!(map.get(b"any"), None);
}

#[test]
fn codecs_of_one_pool_share_its_tables_while_one_of_them_lives() {
    let pool = known::pool().clone();
    let first = Tables::shared(&pool);
    assert!(Arc::ptr_eq(&first, &Tables::shared(&pool)));
    let other = Tables::shared(&DescriptorPool::new());
    assert!(!Arc::ptr_eq(&first, &other));
    let gone = Arc::downgrade(&other);
    drop(other);
    assert!(gone.upgrade().is_none());
}
