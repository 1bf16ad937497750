//! What a mask selects.

use super::*;

fn parse(paths: &[&str]) -> Result<Mask, MaskError> {
    let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    Mask::parse(Some(&mask), &["name", "config"], &["id", "create_time"])
}

#[test]
fn no_mask_takes_what_is_present() {
    assert!(Mask::parse(None, &["name"], &[]).unwrap().is_empty());
    assert!(parse(&[]).unwrap().is_empty());
    assert!(!parse(&[]).unwrap().has("name"));
}

#[test]
fn a_star_replaces_everything() {
    let mask = parse(&["name", "*"]).unwrap();
    assert!(mask.has("config") && mask.has("name") && !mask.is_empty());
}

#[test]
fn paths_select_fields_and_what_is_inside_them() {
    let mask = parse(&["config.model", "config.model", "id", "create_time.seconds"]).unwrap();
    assert_eq!(mask, Mask::Paths(vec!["config.model".to_owned()]));
    assert!(mask.has("config") && mask.has("config.model"));
    assert!(!mask.has("name") && !mask.has("conf") && !mask.has("id"));
    assert_eq!(mask.below("config"), ["model"]);
    assert!(parse(&["config", "config.model"]).unwrap().below("config").is_empty());
}

#[test]
fn an_unknown_path_is_named() {
    let error = parse(&["name", "nmae"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "update_mask names \"nmae\", which cannot be updated; use: name, config"
    );
}

#[test]
fn a_mask_of_output_only_fields_changes_nothing() {
    let mask = parse(&["id"]).unwrap();
    assert!(!mask.has("name") && !mask.is_empty());
}
