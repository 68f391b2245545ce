//! How large the image is: sections of the emulated board's program.

use std::process::Command;

use super::{Bound, Figure};
use crate::{
    lx106::build,
    process::{self, Failure},
};

/// Sections that the chip has in flash, and those that it has in its data RAM.
const FLASH: [&str; 3] = [".vectors", ".text", ".rodata"];
const RAM: [&str; 2] = [".data", ".bss"];

/// The sizes beside their bounds.
///
/// # Errors
///
/// When the program does not build.
pub(super) fn figures() -> Result<Vec<Figure>, Failure> {
    let program = build::build("emulated-board")?;
    let text = process::run(Command::new("xtensa-lx106-elf-size").arg("-A").arg(program))?;
    let size = |names: &[&str]| -> u64 {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next().filter(|name| names.contains(name));
                name.and(words.next()).and_then(|size| size.parse::<u64>().ok())
            })
            .sum()
    };
    Ok(vec![
        Figure {
            what: "code and constants".to_owned(),
            found: size(&FLASH),
            bound: Bound::AtMost(320 * 1024),
        },
        Figure { what: "static data".to_owned(), found: size(&RAM), bound: Bound::AtMost(6 * 1024) },
    ])
}
