//! rustc's linker: assembles the assembly that lies beside each of rustc's objects, and links that in its place.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    lx106::{assembly, tools},
    process::{self, Failure},
};

/// Environment variable that makes this program a linker, and a wrapper of rustc.
pub(crate) const AS_LINKER: &str = "ESPBROKER_LX106_LINKER";

/// Flags of rustc's that are for hosts, or for unwinding, which the target has not.
const DROPPED: [&str; 2] = ["-Wl,--eh-frame-hdr", "-no-pie"];

/// Links with rustc's arguments for a GNU compiler driver.
///
/// # Errors
///
/// When an object has no assembly, or `as` or `ld` fails.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut command = Command::new(tools::GCC);
    command.arg("-nostdlib");
    for argument in expanded(arguments)? {
        if DROPPED.contains(&argument.as_str()) {
            continue;
        }
        match assembly_beside(Path::new(&argument)) {
            Some(source) if source.is_file() => command.arg(assemble(&source)?),
            Some(source) => {
                return Err(format!("rustc's {argument} has no assembly: {}", source.display()).into());
            }
            None => command.arg(argument),
        };
    }
    process::run(&mut command).map(drop)
}

/// Puts the lines of response files (`@file`) in their place.
fn expanded(arguments: impl Iterator<Item = String>) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('@') {
            Some(file) => all.extend(fs::read_to_string(file)?.lines().map(str::to_owned)),
            None => all.push(argument),
        }
    }
    Ok(all)
}

/// Returns where the assembly of an object or library of rustc's is; `None` for every other argument.
fn assembly_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let krate = match name.strip_suffix(".rlib") {
        Some(library) => library.strip_prefix("lib").unwrap_or(library),
        // crate-hash.codegen unit.rcgu.o
        None => name.strip_suffix(".rcgu.o")?.split('.').next()?,
    };
    Some(path.with_file_name(format!("{krate}.s")))
}

fn assemble(source: &Path) -> Result<PathBuf, Failure> {
    let (cleaned, object) = (source.with_extension("cleaned.s"), source.with_extension("cleaned.o"));
    fs::write(&cleaned, assembly::clean(&fs::read_to_string(source)?))?;
    process::run(Command::new(tools::GCC).args(["-c", "-x", "assembler", "-o"]).arg(&object).arg(&cleaned))?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_libraries_of_rustc_are_replaced_by_their_assembly() {
        let beside = |name: &str| assembly_beside(Path::new(name));
        assert_eq!(beside("/t/stub-01ab.stub.77-cgu.0.rcgu.o"), Some("/t/stub-01ab.s".into()));
        assert_eq!(beside("/t/libcompiler_builtins-9f.rlib"), Some("/t/compiler_builtins-9f.s".into()));
        assert_eq!(beside("/t/start.o"), None);
        assert_eq!(beside("-lstart"), None);
    }
}
