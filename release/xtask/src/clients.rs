//! `clients`: what this project says is held against programs that others wrote.

use std::path::Path;

use clap::ValueEnum;

use crate::{
    esptool, libraries, mosquitto, mosquitto_bridge, mosquitto_clients, mosquitto_export,
    process::{Failure, Tally, program},
    rumqttc,
};

/// Whose programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// esptool against the virtual device
    Esptool,
    /// mosquitto_pub and mosquitto_sub against the broker of a device and the one on this computer
    Mosquitto,
    /// mosquitto at the other end of bridges
    Bridge,
    /// mosquitto with the files that `export mosquitto` writes
    Export,
    /// paho-mqtt and MQTT.js
    Libraries,
    /// rumqttc
    Rumqttc,
}

/// Runs these parts against the release build, in their order; all of them when none is named.
///
/// # Errors
///
/// When a client is missing or any check failed.
pub(crate) fn run(parts: &[Part]) -> Result<(), Failure> {
    let program = program()?;
    let mut tally = Tally::default();
    for part in Part::value_variants() {
        if parts.is_empty() || parts.contains(part) {
            part.run(&program, &mut tally)?;
        }
    }
    tally.close()
}

impl Part {
    fn run(self, program: &Path, tally: &mut Tally) -> Result<(), Failure> {
        match self {
            Self::Esptool => esptool::run(program, tally),
            Self::Mosquitto => {
                mosquitto::run(program, tally)?;
                mosquitto_clients::run(program, tally)
            }
            Self::Bridge => mosquitto_bridge::run(program, tally),
            Self::Export => mosquitto_export::run(program, tally),
            Self::Libraries => libraries::run(program, tally),
            Self::Rumqttc => rumqttc::run(program, tally),
        }
    }
}
