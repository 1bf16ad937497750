//! The only build script: compiles `proto/**` to Rust types, tonic clients and servers, and writes
//! `descriptors.bin` beside them.
//!
//! Two descriptor sets are made on purpose. Code generation needs the typed set; the custom options
//! (`google.api.http`, our permissions) survive only in the encoded one, which is what the routers,
//! the permission table and the OpenAPI document read at run time. protox compiles in process, so no
//! protoc is needed.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // tonic-prost-build 0.14 does not print these itself; without them every build recompiles us.
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");

    let mut files = Vec::new();
    collect(Path::new("proto"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".google.api.HttpBody.data")
        // Ordered, because a request is hashed by its bytes to tell a repetition from a reused key.
        .btree_map("labels")
        .compile_well_known_types(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
