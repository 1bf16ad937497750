//! Layers, unknown keys, and what the messages name.

use super::*;

fn read(toml: &str) -> anyhow::Result<Config> {
    Config::extract(&Figment::new().merge(Toml::string(toml)), None)
}

#[test]
fn nothing_said_means_the_documented_ports_on_loopback() {
    let config = read("").unwrap();
    let listen = |word: Word| config.listen[word.as_str()].to_string();
    assert_eq!(listen(Word::Gateway), "127.0.0.1:8000");
    assert_eq!(listen(Word::Monitoring), "127.0.0.1:8051");
    assert_eq!(config.store.data_dir, Path::new("./data"));
}

#[test]
fn a_listener_can_be_moved() {
    let config = read("[agents]\nlisten = \"127.0.0.1:9001\"").unwrap();
    assert_eq!(config.listen["agents"].to_string(), "127.0.0.1:9001");
}

#[test]
fn the_issuer_follows_the_listener_unless_it_is_said() {
    let config = read("[auth]\nlisten = \"127.0.0.1:9006\"").unwrap();
    assert_eq!(config.auth.issuer, "http://localhost:9006");
    let config =
        read("[auth]\nlisten = \"127.0.0.1:9006\"\nissuer = \"https://id.example\"").unwrap();
    assert_eq!(config.auth.issuer, "https://id.example");
    let config = read("[mesh.tls]\nmode = \"strict\"").unwrap();
    assert_eq!(config.auth.issuer, "https://localhost:8006");
}

#[test]
fn the_resources_follow_the_listeners_unless_they_are_said() {
    let config = read("[agents]\nlisten = \"127.0.0.1:9001\"").unwrap();
    assert_eq!(config.auth.resources["http://localhost:9001"], "agents");
    assert_eq!(config.auth.resources["http://localhost:8051"], "monitoring");
    assert_eq!(config.auth.resources.len(), 8);
    let config = read("[auth.resources]\n\"https://api.example\" = \"gateway\"").unwrap();
    assert_eq!(config.auth.resources.len(), 1);
    assert_eq!(config.auth.resources["https://api.example"], "gateway");
}

#[test]
fn what_is_wrong_is_named() {
    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let message = format!("{:#}", read(toml).unwrap_err());
        assert!(message.contains(expected), "{message}");
    }
    check("[agent]\nlisten = \"127.0.0.1:9001\"", "unknown section [agent]");
    check("[agents]\nlisten = \"here\"", "agents.listen");
    check("[agents]\nport = 1", "port");
    check("[mesh.tls]\nmode = \"loose\"", "mesh.tls.mode");
    check("[[gateway.upstream]]\nname = \"x\"", "addresses");
    check(
        "[[gateway.upstream]]\nname = \"X\"\naddresses = [\"http://127.0.0.1:1\"]",
        "small letters",
    );
    check("[monitoring]\ninterval = \"soon\"", "monitoring.interval");
}

#[test]
fn the_reference_file_says_the_defaults() {
    let reference = include_str!("../../../deploy/lightning.toml");
    let written = format!("{:?}", read(reference).unwrap());
    assert_eq!(written, format!("{:?}", read("").unwrap()));
}
