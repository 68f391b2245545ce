//! The device in QEMU: `emulate` for people, and [`board`] for the benchmarks and checks.

pub(crate) mod board;
pub(crate) mod caller;
pub(crate) mod checks;
mod clients;
mod debugger;
mod memory;
mod power;
mod scripts;
mod start;
mod symbols;
mod upstream;
mod visit;
mod worn;

use std::path::PathBuf;

use clap::Args;
use espbroker_config::slots::{self, SlotState};

use self::board::{Board, Setup, Time};
use crate::process::{self, Failure};

/// What to boot.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Settings in TOML, as for `espbroker setup`
    #[arg(long)]
    config: PathBuf,
    /// Bytes of heap: a chip with Wi-Fi up has about 45,000
    #[arg(long, default_value_t = 45_000)]
    heap: u32,
}

/// Boots the board and prints its console until the device ends.
///
/// # Errors
///
/// When the settings are wrong, a tool is missing, or the device does not come up.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let sector = folder.path().join("config.bin");
    let mut program = std::process::Command::new(process::program()?);
    process::run(program.args(["config", "build", "--settings"]).arg(&arguments.config).arg(&sector))?;
    let SlotState::Valid(record) =
        slots::read_sector(std::fs::read(&sector)?.get(..4096).unwrap_or_default())
    else {
        return Err("`espbroker config build` made no valid config".into());
    };
    let setup = Setup { config: record.config, heap: arguments.heap, time: Time::Host };
    let mut board = Board::start(&setup)?;
    println!("MQTT: 127.0.0.1:{}", board.mqtt);
    if setup.config.broker.websocket_port != 0 {
        println!("WebSocket: 127.0.0.1:{}", board.websocket);
    }
    board.follow();
    Ok(())
}
