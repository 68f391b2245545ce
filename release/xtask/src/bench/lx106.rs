//! `bench lx106`: how many instructions a second the interpreter executes, in a release build on one core.

use std::process::Command;

use crate::process::{self, Failure, root};

/// Millions of instructions a second that the virtual device needs to keep up with a chip at 52 MHz in all but its
/// densest loops.
const LEAST: f64 = 40.0;

/// Runs the interpreter's own measurement and holds the total against the bound.
///
/// # Errors
///
/// When it does not build, does not print its total, or is too slow.
pub(super) fn run() -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = process::run(Command::new(cargo).current_dir(root()).args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "espbroker-lx106",
        "--example",
        "speed",
    ]))?;
    print!("{text}");
    let rate = total(&text).ok_or("the measurement printed no total")?;
    if rate < LEAST {
        Err(format!("{rate} million instructions a second: below {LEAST}").into())
    } else {
        Ok(())
    }
}

/// The rate in the line of all mixes.
fn total(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("all "))?;
    line.split_once("instructions")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_rate_of_all_mixes() {
        let text =
            "calls  100 instructions  50.5 million a second\nall  400 instructions  61.2 million a second\n";
        assert_eq!(total(text), Some(61.2));
        assert_eq!(total("calls  100 instructions  50.5 million a second\n"), None);
    }
}
