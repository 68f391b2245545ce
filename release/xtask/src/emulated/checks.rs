//! `board`: the device on QEMU's board under checks: other people's clients, the broker's packet scripts, memory that is
//! refused, power that is cut.

use clap::{Args, ValueEnum};

use super::{board::Program, clients, memory, power, scripts};
use crate::process::{Failure, Tally};

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only these
    parts: Vec<Part>,
    /// A spread of the faults in place of every one: about 3 minutes in all
    #[arg(long)]
    quick: bool,
    /// Only this fault of each kind
    #[arg(long, conflicts_with = "quick")]
    only: Option<u32>,
}

/// Parts of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// mosquitto, paho-mqtt, MQTT.js and rumqttc with the board
    Clients,
    /// The packet scripts of the broker's tests
    Scripts,
    /// Refuse each allocation
    Memory,
    /// Cut the power in each operation of the flash
    Power,
}

/// How many of many faults are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every one.
    All,
    /// So many, evenly spread.
    Spread(u32),
    /// This one.
    Only(u32),
}

impl Extent {
    /// The numbers, of 1 to `count`.
    pub(super) fn of(self, count: u32) -> Vec<u32> {
        match self {
            Self::All => (1..=count).collect(),
            Self::Only(number) => vec![number],
            Self::Spread(steps) if steps >= count => (1..=count).collect(),
            Self::Spread(steps) => (0..steps).map(|step| 1 + step * count / steps).collect(),
        }
    }

    /// So many, or fewer where there are fewer anyway.
    pub(super) fn steps(self, most: u32) -> u32 {
        match self {
            Self::All => most,
            Self::Spread(steps) => steps.min(most).div_ceil(2),
            Self::Only(_) => 1,
        }
    }
}

/// Builds the board's program and runs these parts, all of them when none is named.
///
/// # Errors
///
/// When a tool is missing or any check failed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = Program::build()?;
    let extent = match arguments.only {
        Some(number) => Extent::Only(number),
        None if arguments.quick => Extent::Spread(12),
        None => Extent::All,
    };
    let mut tally = Tally::default();
    for part in Part::value_variants() {
        if arguments.parts.is_empty() || arguments.parts.contains(part) {
            match part {
                Part::Clients => clients::run(&program, &mut tally)?,
                Part::Scripts => scripts::run(&program, extent, &mut tally)?,
                Part::Memory => memory::run(&program, extent, &mut tally)?,
                Part::Power => power::run(&program, extent, &mut tally)?,
            }
        }
    }
    tally.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_begins_at_the_first_and_is_never_more_than_there_are() {
        assert_eq!(Extent::All.of(3), [1, 2, 3]);
        assert_eq!(Extent::Spread(5).of(3), [1, 2, 3]);
        assert_eq!(Extent::Spread(4).of(100), [1, 26, 51, 76]);
        assert_eq!(Extent::Spread(4).of(0), [0; 0]);
    }
}
