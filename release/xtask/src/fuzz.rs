//! `fuzz`: every target of `release/fuzz` for a bounded time, with the seed printed.

use std::process::Command;

use crate::process::{self, Failure, Tally, root};

/// The targets, as in `release/fuzz/Cargo.toml`.
const TARGETS: [&str; 6] =
    ["slip", "loader_replies", "config_partition", "mqtt_packets", "websocket_stream", "bridge_peer"];

/// Runs each target for `seconds`.
///
/// # Errors
///
/// When cargo-fuzz or the nightly toolchain is missing, or an input was found that breaks something.
pub(crate) fn run(seconds: u32) -> Result<(), Failure> {
    process::run(Command::new("cargo-fuzz").arg("--version"))?;
    let mut tally = Tally::default();
    for target in TARGETS {
        tally.check(&format!("fuzz {target}, {seconds} s, seed 1"), || fuzz(target, seconds));
    }
    tally.close()
}

fn fuzz(target: &str, seconds: u32) -> Result<(), Failure> {
    let mut command = Command::new("cargo");
    command
        .current_dir(root().join("release"))
        // libFuzzer needs the nightly compiler; without this the cargo that runs the task would be taken.
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz", target, "--"])
        .args([&format!("-max_total_time={seconds}"), "-seed=1", "-max_len=8192", "-print_final_stats=1"]);
    let output = process::run(&mut command)?;
    for line in output.lines().filter(|line| line.contains("number_of_executed_units")) {
        println!("        {}", line.trim());
    }
    Ok(())
}
