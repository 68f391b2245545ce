//! `clients`: what this project says is held against programs that others wrote.

use crate::{
    esptool, libraries, mosquitto,
    process::{Failure, Tally, program},
};

/// Runs every client against the release build.
///
/// # Errors
///
/// When a client is missing or any check failed.
pub(crate) fn run() -> Result<(), Failure> {
    let program = program()?;
    let mut tally = Tally::default();
    esptool::run(&program, &mut tally)?;
    mosquitto::run(&program, &mut tally)?;
    libraries::run(&program, &mut tally)?;
    tally.close()
}
