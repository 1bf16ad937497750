//! What sealing promises.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn keyring(folder: &Path) -> Keyring {
    Keyring::open(&folder.join("k"), true).unwrap()
}

#[test]
fn what_is_sealed_opens_only_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keyring(folder.path());
    let sealed = keys.seal("integration/a/token", b"canary").unwrap();
    assert!(!sealed.contains("canary"));
    assert_ne!(sealed, keys.seal("integration/a/token", b"canary").unwrap(), "nonces repeat");
    assert_eq!(keys.open_sealed("integration/a/token", &sealed).unwrap(), b"canary");
    for (place, text) in [
        ("integration/b/token", sealed.clone()),
        ("integration/a/token", sealed.replace("s1.", "s2.")),
        ("integration/a/token", format!("{}A", &sealed[..sealed.len() - 2])),
        ("integration/a/token", String::new()),
        ("integration/a/token", "s1.x.AAAA".to_owned()),
    ] {
        let error = keys.open_sealed(place, &text).unwrap_err();
        assert!(matches!(error, Error::CredentialsUnreadable), "{place} {text}");
    }
}

#[test]
fn the_key_file_is_private_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = keyring(folder.path()).seal("p", b"x").unwrap();
    assert_eq!(keyring(folder.path()).open_sealed("p", &sealed).unwrap(), b"x");
    let mode = std::fs::metadata(folder.path().join("k")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file stayed");
}

#[test]
fn a_former_key_still_opens_and_the_first_one_seals() {
    let folder = tempfile::tempdir().unwrap();
    let old = keyring(folder.path());
    let sealed = old.seal("p", b"x").unwrap();
    let path = folder.path().join("k");
    let former = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{LINE} {}\n{former}", URL_SAFE_NO_PAD.encode([7; 32]))).unwrap();
    let both = Keyring::open(&path, false).unwrap();
    assert_eq!(both.open_sealed("p", &sealed).unwrap(), b"x");
    assert!(old.open_sealed("p", &both.seal("p", b"y").unwrap()).is_err());
    assert_eq!(both.fingerprint("r").unwrap(), old.fingerprint("r").unwrap());
}

#[test]
fn a_key_file_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    let missing = Keyring::open(&path, false).unwrap_err().to_string();
    assert!(missing.contains("put it back"), "{missing}");
    for text in ["", "lightning-key-1", "lightning-key-1 AAAA", "secret"] {
        std::fs::write(&path, text).unwrap();
        assert!(Keyring::open(&path, true).is_err(), "{text:?}");
    }
}
