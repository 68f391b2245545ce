//! Developer tasks that need more than `cargo test`: clients from elsewhere, benchmarks, fuzzing, pictures for the
//! README.
//!
//! Every task says what is missing on the machine and how to get it, and ends with one line that counts what passed.

mod bench;
mod clients;
mod emulated;
mod esptool;
mod fuzz;
mod libraries;
mod lx106;
mod mosquitto;
mod mosquitto_bridge;
mod mosquitto_clients;
mod mosquitto_export;
mod pictures;
mod process;
mod release;
mod rumqttc;
mod stage;
mod watched;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of espbroker")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure what the broker costs
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Check the device on the board that QEMU emulates: clients, packet scripts, lack of memory, power cuts
    Board(emulated::checks::Arguments),
    /// Use the virtual device and the broker with programs that this project did not write
    Clients {
        /// Only these
        parts: Vec<clients::Part>,
    },
    /// Boot the device on the board that QEMU emulates, with its ports on loopback
    Emulate(emulated::Arguments),
    /// Run every fuzz target for a bounded time
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 30)]
        seconds: u32,
    },
    /// Build and check the programs for the ESP8266's CPU
    #[command(subcommand)]
    Lx106(lx106::Lx106),
    /// Record the wizard and the failures that the README shows
    Pictures,
    /// Build, sign and check a release
    Release(release::Release),
}

fn main() -> ExitCode {
    let result = lx106::as_tool().unwrap_or_else(|| match Arguments::parse().task {
        Task::Bench(bench) => bench::run(&bench),
        Task::Board(arguments) => emulated::checks::run(&arguments),
        Task::Clients { parts } => clients::run(&parts),
        Task::Emulate(arguments) => emulated::run(&arguments),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Lx106(task) => lx106::run(&task),
        Task::Pictures => pictures::run(),
        Task::Release(given) => release::run(&given),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
