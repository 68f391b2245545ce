//! What the object leaves open and what it shows, against the list.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::process::{self, Failure};

const NM: &str = "xtensa-lx106-elf-nm";
/// What the SDK calls. Anything else that the object shows might take the place of something of the SDK's.
const ENTRY_POINTS: [&str; 2] = ["user_init", "user_pre_init"];

/// Compares the open symbols of an object with a list, and what it shows with the entry points; returns how many
/// symbols are open.
///
/// # Errors
///
/// The symbols that make the difference.
pub(crate) fn check(object: &Path, list: &Path) -> Result<usize, Failure> {
    let open = process::run(Command::new(NM).args(["--undefined-only", "--just-symbols"]).arg(object))?;
    let shown = process::run(Command::new(NM).args(["--defined-only", "--extern-only"]).arg(object))?;
    compare(&open, &fs::read_to_string(list)?, &shown).map_err(Failure::from)
}

fn compare(open: &str, list: &str, shown: &str) -> Result<usize, String> {
    let open: BTreeSet<&str> = open.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    let listed: BTreeSet<&str> =
        list.lines().map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#')).collect();
    // The boot ROM's functions have addresses of their own: kind A.
    let shown: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
        .filter(|[_, kind, name]: &[&str; 3]| *kind != "A" && !ENTRY_POINTS.contains(name))
        .map(|[_, _, name]| name)
        .collect();
    let names = |names: Vec<&str>| names.join(", ");
    let missing: Vec<&str> = open.difference(&listed).copied().collect();
    if !missing.is_empty() {
        return Err(format!("not in sdk-symbols.txt: {}", names(missing)));
    }
    let unused: Vec<&str> = listed.difference(&open).copied().collect();
    if !unused.is_empty() {
        return Err(format!("in sdk-symbols.txt and not used: {}", names(unused)));
    }
    if !shown.is_empty() {
        return Err(format!("would take the place of the boot ROM's or the SDK's: {}", names(shown)));
    }
    Ok(open.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# lwIP\ntcp_new\n\ntcp_write\n";
    const SHOWN: &str = "4000df48 A memcpy\n00000000 T user_init\n00000010 T user_pre_init\n";

    #[test]
    fn the_list_is_what_is_used_no_more_and_no_less() {
        assert_eq!(compare("tcp_new\ntcp_write\n", LIST, SHOWN), Ok(2));
        let error = compare("malloc\ntcp_new\ntcp_write\n", LIST, SHOWN).unwrap_err();
        assert_eq!(error, "not in sdk-symbols.txt: malloc");
        let error = compare("tcp_new\n", LIST, SHOWN).unwrap_err();
        assert_eq!(error, "in sdk-symbols.txt and not used: tcp_write");
    }

    #[test]
    fn the_compilers_runtime_does_not_replace_the_boot_roms() {
        let error = compare("tcp_new\ntcp_write\n", LIST, "00000020 W memset\n").unwrap_err();
        assert!(error.ends_with(": memset"), "{error}");
    }
}
