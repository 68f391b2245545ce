//! The self-check on QEMU's LX106 and on the host: every line must be the same.

use std::{path::Path, process::Command};

use crate::{
    lx106::{build, tools},
    process::{self, Failure, scratch},
};

pub(crate) const PROGRAM: &str = "self-check";
const PACKAGE: &str = "espbroker-lx106-self-check";

/// Runs the program on both and compares.
///
/// # Errors
///
/// When a tool is missing, a run fails, or a line differs.
pub(crate) fn run() -> Result<(), Failure> {
    tools::require(tools::QEMU)?;
    let program = build::build(PROGRAM)?;
    let (here, there) = (on_the_host()?, on_qemu(&program)?);
    compare(&here, &there)?;
    println!("{}: the same on QEMU's LX106 and on the host", there.lines().last().unwrap_or_default());
    Ok(())
}

fn on_the_host() -> Result<String, Failure> {
    let target = std::path::absolute(scratch())?.join("lx106-host");
    process::run(
        tools::rustup(tools::toolchain()?, "cargo")
            .current_dir(build::workspace())
            .args(["build", "--release", "--quiet", "--locked", "--package", PACKAGE, "--target-dir"])
            .arg(&target),
    )?;
    process::run(&mut Command::new(target.join("release").join(PACKAGE)))
}

/// Runs a program that is linked for QEMU and returns what it printed.
///
/// # Errors
///
/// When QEMU is missing or the program ends with another code than 0.
pub(crate) fn on_qemu(program: &Path) -> Result<String, Failure> {
    process::run(
        Command::new(tools::QEMU)
            .args(["-M", "sim", "-cpu", "lx106", "-semihosting", "-display", "none", "-monitor", "none"])
            .args(["-serial", "stdio", "-device"])
            // `-kernel` would start at the CPU's reset vector, where this board has no memory.
            .arg(format!("loader,file={},cpu-num=0", program.display())),
    )
}

fn compare(here: &str, there: &str) -> Result<(), Failure> {
    if here.lines().count() < 2 {
        return Err("the self-check printed nothing".into());
    }
    let differing: Vec<String> = (here.lines().zip(there.lines()))
        .filter(|(here, there)| here != there)
        .map(|(here, there)| format!("host  {here}\nLX106 {there}"))
        .collect();
    let (here, there) = (here.lines().count(), there.lines().count());
    if here != there {
        return Err(format!("{here} lines on the host, {there} on the LX106").into());
    }
    if differing.is_empty() { Ok(()) } else { Err(format!("not the same:\n{}", differing.join("\n")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_or_lack_are_told() {
        assert!(compare("a: 1\nall: 1\n", "a: 1\nall: 1\n").is_ok());
        assert!(compare("a: 1\nall: 1\n", "a: 2\nall: 1\n").unwrap_err().to_string().ends_with("LX106 a: 2"));
        assert!(compare("a: 1\nall: 1\n", "a: 1\n").is_err());
        assert!(compare("", "").is_err());
    }
}
