//! The program of `release/cost`, built for a 32-bit processor, whose pointers have the chip's size.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{self, Failure, root, scratch};

const TARGET: &str = "i686-unknown-linux-gnu";
const NAME: &str = "espbroker-cost";

/// Builds it and returns its path.
///
/// # Errors
///
/// When the target or the 32-bit C library is missing, with the command that installs it, or the build fails.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let installed =
        process::run(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    if !Path::new(installed.trim()).is_dir() {
        return Err(format!("Rust's target {TARGET} is missing: rustup target add {TARGET}").into());
    }
    // gcc answers with a path if it has the file, else with the bare name.
    let start = process::run(Command::new("gcc").args(["-m32", "-print-file-name=Scrt1.o"]))?;
    if !start.contains('/') {
        return Err("gcc cannot link 32-bit programs: apt-get install gcc-multilib".into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(
        Command::new(cargo)
            .current_dir(root())
            // The chip's code lies at fixed addresses.
            .env("CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Crelocation-model=static")
            .args(["build", "--profile", "cost", "--package", NAME, "--target", TARGET]),
    )?;
    Ok(scratch().join(TARGET).join("cost").join(NAME))
}
