//! The programs that a build for the LX106 needs, and what to install where one is missing.

use std::process::Command;

use crate::process::{self, Failure};

/// The compiler that the programs are built with: another one makes other bytes, and may bring other defects.
const TOOLCHAIN: &str = "nightly-2026-05-20";
/// How `rustc --version` names it.
const COMPILER: &str = "1.97.0-nightly (e50aa6fba 2026-05-19)";

/// GNU compiler driver for the LX106: assembles and links.
pub(crate) const GCC: &str = "xtensa-lx106-elf-gcc";
/// Emulator.
pub(crate) const QEMU: &str = "qemu-system-xtensa";

/// Finds the compiler, as the toolchain's name for `rustup run`: by its date, or as an undated `nightly` of that date.
///
/// # Errors
///
/// When neither is installed; says how to install it.
pub(crate) fn toolchain() -> Result<&'static str, Failure> {
    let is_the_one = |name: &&str| {
        let version = process::run(rustup(name, "rustc").arg("--version"));
        version.is_ok_and(|version| version.contains(COMPILER))
    };
    [TOOLCHAIN, "nightly"].into_iter().find(is_the_one).ok_or_else(|| {
        format!(
            "rustc {COMPILER} is not installed: rustup toolchain install {TOOLCHAIN} --component rust-src"
        )
        .into()
    })
}

/// Says how to add the standard library's source to the toolchain.
pub(crate) fn install_source(toolchain: &str) -> String {
    format!("rustup component add rust-src --toolchain {toolchain}")
}

/// A command of a toolchain, free of what the cargo that runs this task has set.
pub(crate) fn rustup(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, program]);
    for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "RUSTC_WRAPPER"] {
        command.env_remove(variable);
    }
    command
}

/// Checks that a program starts.
///
/// # Errors
///
/// When it does not; says how to install it.
pub(crate) fn require(program: &str) -> Result<(), Failure> {
    process::run(Command::new(program).arg("--version")).map(drop)
}
