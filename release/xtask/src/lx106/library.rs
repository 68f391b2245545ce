//! Where the source of `core`, `alloc` and `compiler_builtins` is: they are compiled with each program.
//!
//! In this order: what the environment variable names, the toolchain's component `rust-src`, or nothing and a message.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    lx106::tools,
    process::{self, Failure, scratch},
};

/// Names the source: a folder that holds `library/`, that folder itself, or an archive with it that `tar` unpacks.
const VARIABLE: &str = "ESPBROKER_RUST_SRC";

/// Returns the folder `library/` of the standard library's source.
///
/// # Errors
///
/// When there is none; says how to get it.
pub(crate) fn find(toolchain: &str) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = std::path::absolute(named)?;
        let folder = if named.is_file() { unpack(&named)? } else { named };
        return library_in(&folder)
            .ok_or_else(|| format!("{VARIABLE} names no `library/core`: {}", folder.display()).into());
    }
    let root = process::run(tools::rustup(toolchain, "rustc").args(["--print", "sysroot"]))?;
    library_in(&Path::new(root.trim()).join("lib/rustlib/src/rust")).ok_or_else(|| {
        format!(
            "the standard library's source is not installed: {}, or set {VARIABLE} to it",
            tools::install_source(toolchain)
        )
        .into()
    })
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    [folder.join("library"), folder.to_owned()]
        .into_iter()
        .find(|folder| folder.join("core/src/lib.rs").is_file())
}

/// Unpacks an archive under the target folder, once for each archive.
fn unpack(archive: &Path) -> Result<PathBuf, Failure> {
    let name = archive.file_name().and_then(OsStr::to_str).unwrap_or("rust-src");
    let folder = scratch().join("lx106-library").join(name);
    if library_in(&folder).is_none() {
        // Under another name until it is whole: a run that is interrupted must not leave half a library.
        let partial = folder.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        process::run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&partial))?;
        fs::rename(&partial, &folder)?;
    }
    Ok(folder)
}
