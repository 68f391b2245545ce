//! Computations that must come out on the LX106 as on any other machine: the check of the compiler, of the assembler
//! step and of what `runtime` replaces.
//!
//! Every line names a group, says how many values were computed and gives a digest of them; the same code runs on the
//! host, and the lines are compared. Arguments are random with a fixed seed for each line, with the edges of each type
//! among them. Nothing here depends on the width of a pointer.
//!
//! Left out: interrupts, and the chip's faults on byte access to instruction RAM, which QEMU does not emulate.
#![no_std]

extern crate alloc;

mod calls;
mod collections;
mod conversions;
mod floats;
mod foreign;
mod formatting;
mod integers;
mod random;
mod report;
mod sorting;
mod text;

use core::fmt;

pub use report::Report;

/// Writes all lines, the last of which counts the others.
///
/// # Errors
///
/// When `output` does not take a line.
pub fn run(output: &mut dyn fmt::Write) -> fmt::Result {
    let mut report = Report::new(output);
    integers::run(&mut report)?;
    conversions::run(&mut report)?;
    floats::run(&mut report)?;
    formatting::run(&mut report)?;
    text::run(&mut report)?;
    collections::run(&mut report)?;
    sorting::run(&mut report)?;
    calls::run(&mut report)?;
    foreign::run(&mut report)?;
    report.close()
}
