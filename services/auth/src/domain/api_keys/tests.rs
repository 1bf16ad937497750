//! Keys that read back.

use super::KeyText;

#[test]
fn a_key_reads_back_and_a_mistyped_one_does_not() {
    let key = KeyText::generate();
    let text = key.expose();
    assert_eq!(text.len(), 61);
    assert!(text.starts_with(&key.prefix()));
    assert_eq!(key.prefix().len(), 11);
    assert_eq!(KeyText::parse(text).unwrap().hash(), key.hash());
    let last = if text.ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{last}", &text[..60]);
    for bad in
        ["", "lk_", "lk__", &mistyped, &text[..60], &format!("{text}0"), &text.replace('_', "-")]
    {
        assert!(KeyText::parse(bad).is_none(), "{bad}");
    }
}
