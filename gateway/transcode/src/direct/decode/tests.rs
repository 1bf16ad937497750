//! The parts that need no schema; what needs one is in the integration tests.

use super::{Key, Keys, Seen};
use crate::direct::out;

#[test]
fn lengths_are_written_after_their_parts() {
    fn check(length: usize, prefix: &[u8]) {
        let mut out = b"before".to_vec();
        let part = out::open(&mut out, &[0x0a]);
        let content: Vec<u8> = (0..=255).cycle().take(length).collect();
        out.extend_from_slice(&content);
        out::close(&mut out, part);
        let expected = [b"before\x0a", prefix, &content].concat();
        assert_eq!(out, expected, "{length}");
    }
    check(0, &[0]);
    check(127, &[0x7f]);
    check(128, &[0x80, 1]);
    check(16_383, &[0xff, 0x7f]);
    check(16_384, &[0x80, 0x80, 1]);
    check(2_097_152, &[0x80, 0x80, 0x80, 1]);
}

#[test]
fn a_key_is_refused_the_second_time_in_maps_of_every_size() {
    for size in [1, 2, 11, 12, 13, 14, 200] {
        let mut keys = Keys::new();
        for key in 0..size {
            assert!(keys.insert(Key::Number(key)), "{key} of {size}");
        }
        for key in 0..size {
            assert!(!keys.insert(Key::Number(key)), "{key} of {size}");
        }
        assert!(keys.insert(Key::Text("0".into())));
    }
}

#[test]
fn a_message_without_fields_is_noted_itself() {
    let mut seen = Seen::default();
    let a = seen.enter("a");
    let b = seen.enter("b");
    seen.leave(b, true);
    let c = seen.enter("c");
    seen.leave(c, false);
    seen.leave(a, false);
    let d = seen.enter("d");
    seen.leave(d, false);
    let paths: Vec<(&str, bool)> = seen.paths().map(|it| (it.path, it.null)).collect();
    assert_eq!(paths, [("a.b", true), ("a.c", false), ("d", false)]);
    assert!(seen.has("a.c") && !seen.has("a.b") && !seen.has("a"));
}
