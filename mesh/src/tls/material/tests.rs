//! Every mistake in the files is found when they are read, and named.

use std::fs;

use super::*;
use crate::tls::{Authority, Issued};

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

struct Folder {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Folder {
    /// A folder in which everything is right for `agents`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, own) = Authority::create("lightning.local", 30 * DAY, NOW).unwrap();
        fs::write(folder.path().join("ca.pem"), own.certificate).unwrap();
        let folder = Self { folder, authority };
        folder.put(&folder.issue("agents"));
        folder
    }

    fn issue(&self, service: &str) -> Issued {
        self.authority.issue(service, &[], DAY, NOW).unwrap()
    }

    fn put(&self, issued: &Issued) {
        fs::write(self.path("agents.pem"), &issued.certificate).unwrap();
        fs::write(self.path("agents.key"), issued.key.expose()).unwrap();
        self.chmod(0o600);
    }

    fn chmod(&self, mode: u32) {
        fs::set_permissions(self.path("agents.key"), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build_at(&self, now: Timestamp) -> Result<Material, MaterialError> {
        let files = Files {
            ca: self.path("ca.pem"),
            certificate: self.path("agents.pem"),
            key: self.path("agents.key"),
            trust_domain: "lightning.local".to_owned(),
            service: "agents".to_owned(),
        };
        let (clock, _) = Clock::manual(now);
        files.read()?.build(&files, &clock)
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        let error = self.build_at(NOW).err().expect("the files are refused");
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn good_files_are_used_until_they_end() {
    let folder = Folder::new();
    let material = folder.build_at(NOW).unwrap();
    assert_eq!(material.not_after, NOW + DAY);
    let late = folder.build_at(NOW + 2 * DAY).err().unwrap().to_string();
    assert!(late.contains("has expired"), "{late}");
    folder.chmod(0o640);
    assert!(folder.build_at(NOW).is_ok());
}

#[test]
fn a_certificate_of_another_service_trust_domain_or_authority_is_refused() {
    let folder = Folder::new();
    folder.put(&folder.issue("models"));
    folder.refused("spiffe://lightning.local/models, not to spiffe://lightning.local/agents");
    let (other, _) = Authority::create("elsewhere", DAY, NOW).unwrap();
    folder.put(&other.issue("agents", &[], DAY, NOW).unwrap());
    folder.refused("spiffe://elsewhere/agents, not to spiffe://lightning.local/agents");
    let (other, _) = Authority::create("lightning.local", DAY, NOW).unwrap();
    folder.put(&other.issue("agents", &[], DAY, NOW).unwrap());
    folder.refused("not signed by our authority");
}

#[test]
fn a_key_that_is_exposed_or_of_another_certificate_is_refused() {
    let folder = Folder::new();
    for mode in [0o644, 0o604, 0o620] {
        folder.chmod(mode);
        folder.refused("chmod 600");
    }
    folder.chmod(0o600);
    fs::write(folder.path("agents.key"), folder.issue("agents").key.expose()).unwrap();
    folder.refused("does not belong to");
    fs::write(folder.path("agents.key"), "nothing").unwrap();
    folder.refused("does not hold a private key");
}

#[test]
fn files_that_hold_something_else_are_named() {
    let folder = Folder::new();
    fs::write(folder.path("agents.pem"), "nothing").unwrap();
    folder.refused("agents.pem does not hold a certificate");
    folder.put(&folder.issue("agents"));
    fs::copy(folder.path("agents.pem"), folder.path("ca.pem")).unwrap();
    folder.refused("ca.pem does not hold certificates of authorities");
    fs::remove_file(folder.path("ca.pem")).unwrap();
    folder.refused("cannot read");
}

#[test]
fn an_authority_can_be_replaced_while_both_are_believed() {
    let folder = Folder::new();
    let (next, own) = Authority::create("lightning.local", DAY, NOW).unwrap();
    let both = fs::read_to_string(folder.path("ca.pem")).unwrap() + &own.certificate;
    fs::write(folder.path("ca.pem"), both).unwrap();
    assert!(folder.build_at(NOW).is_ok());
    folder.put(&next.issue("agents", &[], DAY, NOW).unwrap());
    assert!(folder.build_at(NOW).is_ok());
}
