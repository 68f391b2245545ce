//! Instructions for one routed message on the LX106: the program `routing`, counted by QEMU.

use std::{collections::BTreeMap, process::Command};

use crate::{
    lx106::{build, tools},
    process::{self, Failure},
};

/// With `-icount shift=0` an instruction takes a nanosecond, and the CPU's clock is 40 MHz.
const INSTRUCTIONS_PER_CYCLE: u64 = 25;

/// What was measured, by the number of subscribers that got each message.
pub(crate) type Routed = BTreeMap<u64, u64>;

/// Builds the program, runs it, and takes the differences.
///
/// # Errors
///
/// When a tool is missing or the program did not do its work.
pub(crate) fn measure() -> Result<Routed, Failure> {
    tools::require(tools::QEMU)?;
    let program = build::build("routing")?;
    let text = process::run(
        Command::new(tools::QEMU)
            .args(["-M", "sim", "-cpu", "lx106", "-semihosting", "-icount", "shift=0"])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-device"])
            .arg(format!("loader,file={},cpu-num=0", program.display())),
    )?;
    let mut runs: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for line in text.lines() {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let [matches, messages, cycles] = *numbers {
            runs.entry(matches).or_default().push((messages, cycles));
        }
    }
    let differences = runs.into_iter().map(|(matches, runs)| match runs.as_slice() {
        [(fewer, less), (more, longer)] if more > fewer && longer >= less => {
            Ok((matches, (longer - less) * INSTRUCTIONS_PER_CYCLE / (more - fewer)))
        }
        _ => Err(Failure::from(format!("not two runs with {matches} matches:\n{text}"))),
    });
    differences.collect()
}
