//! rustc, with names for the crates that do not depend on where the checkout is.
//!
//! cargo's `-C metadata` has the folder of each package of ours in it, and rustc puts functions in an order, and into each
//! other, by a number made of that: the same source would make another image elsewhere. Name and version of the package
//! tell the crates of one target apart as well.

use std::{
    env,
    path::Path,
    process::{Command, exit},
};

use crate::process::{Failure, missing};

/// Whether these arguments are those of a wrapper of rustc, and not a linker's.
pub(crate) fn is_called(arguments: &[String]) -> bool {
    let program = arguments.first().map(Path::new).and_then(Path::file_stem);
    program.is_some_and(|name| name == "rustc" || name == "clippy-driver")
}

/// Runs rustc in place of this program, and ends as it does.
///
/// # Errors
///
/// When it cannot be started.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [rustc, rest @ ..] = arguments else { return Err("rustc is not named".into()) };
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let status = Command::new(rustc).args(renamed(rest, &version)).status();
    exit(status.map_err(|error| missing(rustc, &error))?.code().unwrap_or(1))
}

/// The arguments for a crate of this version; those for the computer itself are left as they are.
fn renamed(arguments: &[String], version: &str) -> Vec<String> {
    let after = |flag: &str| arguments.iter().skip_while(|argument| *argument != flag).nth(1);
    let (Some(name), Some(_)) = (after("--crate-name"), after("--target")) else { return arguments.to_vec() };
    let is_metadata = |argument: &String| argument.starts_with("metadata=");
    let metadata = || format!("metadata={name}-{version}");
    arguments.iter().map(|given| if is_metadata(given) { metadata() } else { given.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_crate_for_the_target_is_named_by_its_name_and_version_alone() {
        let given = words("--crate-name node --target lx106.json -C metadata=0123 -C extra-filename=-0123");
        let wanted =
            words("--crate-name node --target lx106.json -C metadata=node-0.1.0 -C extra-filename=-0123");
        assert_eq!(renamed(&given, "0.1.0"), wanted);
    }

    #[test]
    fn what_runs_on_this_computer_is_left_alone() {
        let given = words("--crate-name build_script_build -C metadata=0123");
        assert_eq!(renamed(&given, "0.1.0"), given);
        assert_eq!(renamed(&words("-vV"), ""), words("-vV"));
    }

    #[test]
    fn a_linker_is_no_compiler() {
        assert!(is_called(&words("/toolchains/nightly/bin/rustc -vV")));
        assert!(!is_called(&words("/target/deps/node.o -Wl,--gc-sections")));
        assert!(!is_called(&[]));
    }
}
