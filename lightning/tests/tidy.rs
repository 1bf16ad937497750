//! The house rules that can be checked, as tests: who may import whom, how long a file and a function
//! may be, where SQL may stand, and what every RPC and field of the contract must carry.
//!
//! They read the repository as text and the contract as descriptors. A rule that needs judgement is
//! not here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[path = "tidy/contract.rs"]
mod contract;
#[path = "tidy/source.rs"]
mod source;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// Every Rust file of the repository but what is built, with its path from the root.
fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let folders = ["build.rs", "gateway", "lightning", "mesh", "proto", "services", "store"];
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the walk found too little: {}", files.len());
    files
}

fn collect(path: &Path, files: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let name = path.strip_prefix(root()).unwrap().to_owned();
        files.push((name, fs::read_to_string(path).unwrap()));
    }
}

/// Fails with all faults at once.
fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// The crates of ours that a manifest imports outside its tests.
fn imports(manifest: &str) -> Vec<String> {
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(root().join(manifest)).unwrap()).unwrap();
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap();
    dependencies.keys().filter(|name| name.starts_with("lightning-")).cloned().collect()
}

#[test]
fn crates_import_only_what_the_design_allows() {
    let service = ["lightning-mesh", "lightning-proto", "lightning-store"];
    let edge = ["lightning-mesh", "lightning-proto", "lightning-store", "lightning-transcode"];
    let mut allowed: BTreeMap<String, &[&str]> = BTreeMap::from([
        ("gateway/Cargo.toml".to_owned(), &edge[..]),
        ("gateway/transcode/Cargo.toml".to_owned(), &[][..]),
        ("mesh/Cargo.toml".to_owned(), &["lightning-proto", "lightning-transcode"][..]),
        ("store/Cargo.toml".to_owned(), &[][..]),
        ("Cargo.toml".to_owned(), &[][..]),
    ]);
    for name in ["agents", "auth", "enhanced", "integrations", "models", "monitoring", "workflows"]
    {
        allowed.insert(format!("services/{name}/Cargo.toml"), &service[..]);
    }
    let mut faults = Vec::new();
    for (manifest, allowed) in &allowed {
        for import in imports(manifest) {
            if !allowed.contains(&import.as_str()) {
                faults.push(format!("{manifest} imports {import}"));
            }
        }
    }
    report("an import that the design does not allow (services talk gRPC)", &faults);
}

#[test]
fn versions_stand_in_the_root_manifest_alone() {
    let mut faults = Vec::new();
    for (manifest, text) in manifests() {
        let table: toml::Table = toml::from_str(&text).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(section) = table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in section {
                let of_workspace = value.get("workspace").and_then(toml::Value::as_bool);
                if of_workspace != Some(true) {
                    faults.push(format!("{}: {name}", manifest.display()));
                }
            }
        }
    }
    report("a dependency without `workspace = true`", &faults);
}

fn manifests() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir()
                && !name.starts_with('.')
                && !["target", "data", "node_modules"].contains(&&*name)
            {
                folders.push(path);
            } else if name == "Cargo.toml" {
                found.push((
                    path.strip_prefix(root()).unwrap().to_owned(),
                    fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    found
}
