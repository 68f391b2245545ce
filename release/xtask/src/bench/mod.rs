//! `bench`: what the broker costs. Instructions and bytes, which are the same in every run and are held against the
//! figures in `release/baselines/`; and messages per second beside mosquitto, which are never held against anything.

mod baseline;
mod batch;
mod callgrind;
mod cost;
mod firmware;
mod flash;
mod instructions;
mod load;
mod lx106;
mod memory;
mod reconfigure;
mod serve;
mod table;

pub(crate) use self::firmware::WebSocketClient;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use self::load::Effort;
use crate::process::Failure;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Measure the broker: instructions, memory, and throughput beside mosquitto
    Broker(Arguments),
    /// Measure the device's LX106 build on the board that QEMU emulates
    Firmware(firmware::Arguments),
    /// Measure the interpreter of the ESP8266's CPU: instructions a second
    Lx106,
    /// Measure setting up many virtual devices at once
    Batch(batch::Arguments),
    /// Measure flashing beside esptool, on the virtual device in real time
    Flash(flash::Arguments),
    /// Measure changes of a device's settings: over the network, the serial console and the boot loader
    Reconfigure(reconfigure::Arguments),
    /// Be the device that is flashed, until the standard input ends
    #[command(hide = true)]
    FlashDevice(flash::DeviceArguments),
    /// Be the load generator, print rows as JSON
    #[command(hide = true)]
    Load {
        #[arg(long)]
        quick: bool,
    },
    /// Be the broker under load, until the standard input ends
    #[command(hide = true)]
    Serve,
}

/// How to measure the broker.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Measure only this; may be given again [default: all, with --check or --bless all but load]
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Load each broker for a twelfth of the time
    #[arg(long)]
    quick: bool,
    /// Fail when a figure has grown by more than 3 % over the baseline, or beyond its bound
    #[arg(long, conflicts_with = "bless")]
    check: bool,
    /// Make the figures of this run the baseline
    #[arg(long)]
    bless: bool,
    /// List the functions and source files where the instructions are
    #[arg(long)]
    profile: bool,
    /// Print JSON in place of tables
    #[arg(long)]
    json: bool,
}

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions for each message, under callgrind
    Instructions,
    /// Bytes for each client, subscription and message
    Memory,
    /// Messages per second, latency and peak memory beside mosquitto
    Load,
}

/// Everything measured, for programs; a part that was not measured is `null`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    instructions: Option<Vec<instructions::Row>>,
    memory: Option<Vec<memory::Row>>,
    load: Option<Vec<load::Row>>,
}

/// Runs a benchmark.
///
/// # Errors
///
/// When something needed is missing, the broker did not do its work, or the check fails.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Broker(arguments) => arguments.run(),
        Bench::Firmware(arguments) => firmware::run(arguments),
        Bench::Lx106 => lx106::run(),
        Bench::Batch(arguments) => arguments.run(),
        Bench::Flash(arguments) => arguments.run(),
        Bench::Reconfigure(arguments) => arguments.run(),
        Bench::FlashDevice(arguments) => flash::be_device(arguments),
        Bench::Load { quick } => {
            let rows = load::measure(effort(*quick))?;
            println!("{}", serde_json::to_string(&rows)?);
            Ok(())
        }
        Bench::Serve => serve::run(),
    }
}

const fn effort(quick: bool) -> Effort {
    if quick { Effort::Quick } else { Effort::Full }
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        let chosen_by_default = part != Part::Load || !(self.check || self.bless);
        if self.part.is_empty() { chosen_by_default } else { self.part.contains(&part) }
    }

    fn run(&self) -> Result<(), Failure> {
        let mut report = Report { version: 1, instructions: None, memory: None, load: None };
        if self.wants(Part::Instructions) || self.wants(Part::Memory) {
            let program = cost::build()?;
            if self.wants(Part::Instructions) {
                let measured = instructions::measure(&program)?;
                if self.profile {
                    eprint!("{}", instructions::profile(&measured));
                }
                report.instructions = Some(measured.into_iter().map(|measured| measured.row).collect());
            }
            if self.wants(Part::Memory) {
                report.memory = Some(memory::measure(&program)?);
            }
        }
        if self.wants(Part::Load) {
            report.load = Some(load::run(effort(self.quick))?);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            report.print();
        }
        let instructions = report.instructions.as_deref().unwrap_or_default();
        let memory = report.memory.as_deref().unwrap_or_default();
        if self.bless {
            baseline::write(instructions, memory)
        } else if self.check {
            baseline::check(instructions, memory)
        } else {
            Ok(())
        }
    }
}

impl Report {
    fn print(&self) {
        if let Some(rows) = &self.instructions {
            println!("{}", instructions::table(rows));
        }
        if let Some(rows) = &self.memory {
            println!("{}", memory::table(rows));
        }
        if let Some(rows) = &self.load {
            println!("{}", load::table(rows));
        }
    }
}
