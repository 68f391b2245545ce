//! `bench flash`: how long espbroker and esptool take to write the same image to the same virtual device, in turns,
//! with the serial line and the flash chip in real time.
//!
//! Every run starts with a device that was just plugged in, in a process of its own, and ends with the line in which
//! the tool says that the device's digest fits. esptool works on a pseudo-terminal, its fastest way to a device that
//! is no USB adapter: over RFC 2217 pyserial waits at least 50 ms for the answer to each purge. A pseudo-terminal has no
//! DTR and RTS, without which espbroker would stay at 115200 baud, so that espbroker works over RFC 2217 and resets the
//! chip itself, while esptool finds it in its loader already. Both differences are in esptool's favour.

mod device;
mod image;
mod report;
mod tools;

use std::io::Write as _;

use clap::{Args, ValueEnum};
use flate2::{Compression, write::ZlibEncoder};
use serde::Serialize;

pub(crate) use self::device::{DeviceArguments, serve as be_device};
use self::{
    image::{Contents, SEED, different_sectors},
    report::{Report, Row, Side},
    tools::{Bench, Tool},
};
use crate::{
    esptool,
    process::{self, Failure},
};

/// Rates that both tools are measured at.
const RATES: [u32; 3] = [115_200, 460_800, 921_600];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Measure only this; may be given again [default: all]
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Measure only at this baud rate; may be given again [default: 115200, 460800 and 921600]
    #[arg(long)]
    baud: Vec<u32>,
    /// Runs of each tool in each case, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// One run of each tool
    #[arg(long, conflicts_with = "runs")]
    quick: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
}

/// What is on the device before, and what has to be there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// A blank chip gets the image
    First,
    /// The image is there already
    Same,
    /// Five scattered sectors of the image are another build's
    Changed,
    /// The image stays, and a config sector is written
    Config,
}

/// The most that espbroker may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    /// As a share of esptool's time.
    OfEsptool(f64),
    Seconds(f64),
}

impl Case {
    const fn words(self) -> &'static str {
        match self {
            Self::First => "first flash, blank chip",
            Self::Same => "same image again",
            Self::Changed => "5 changed sectors",
            Self::Config => "config only",
        }
    }

    /// `None` at a rate for which none was set.
    const fn bound(self, baud: u32) -> Option<Bound> {
        match (self, baud) {
            (Self::First, 115_200) => Some(Bound::OfEsptool(0.95)),
            (Self::First, 460_800) => Some(Bound::OfEsptool(0.80)),
            (Self::First, 921_600) => Some(Bound::OfEsptool(0.70)),
            (Self::First, _) => None,
            (Self::Same, _) => Some(Bound::Seconds(2.0)),
            (Self::Changed, _) => Some(Bound::Seconds(3.0)),
            (Self::Config, _) => Some(Bound::Seconds(2.5)),
        }
    }
}

impl Arguments {
    /// Measures, prints, and judges.
    ///
    /// # Errors
    ///
    /// When a tool fails or a bound is missed.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let contents = Contents::new()?;
        let packed = packed(&contents.image)?;
        let changed = different_sectors(&contents.image, &contents.before);
        let bytes = contents.image.len();
        let bench = Bench::new(process::program()?, esptool::install()?, device::build()?, contents)?;
        let [espbroker, esptool] = bench.versions()?;
        let mut report =
            Report { version: 1, espbroker, esptool, seed: SEED, bytes, packed, changed, rows: Vec::new() };
        let rates = if self.baud.is_empty() { &RATES[..] } else { &self.baud };
        let cases = if self.case.is_empty() { Case::value_variants() } else { &self.case };
        for &baud in rates {
            for &case in cases {
                report.rows.push(self.measure(&bench, case, baud)?);
            }
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        report.verdict()
    }

    fn measure(&self, bench: &Bench, case: Case, baud: u32) -> Result<Row, Failure> {
        let runs = if self.quick { 1 } else { self.runs };
        let (mut ours, mut theirs, mut loads) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..runs {
            let mut order = [Tool::Espbroker, Tool::Esptool];
            // What the machine does besides gets slowly more or less: neither tool is always first.
            if run % 2 == 1 {
                order.reverse();
            }
            for tool in order {
                let measured = bench.run(tool, case, baud)?;
                let load = report::load_average();
                eprintln!(
                    "{} at {baud}: {tool:?} {:.2} s, the chip {:.2} s behind, load {:.1}",
                    case.words(),
                    measured.seconds,
                    measured.device.behind,
                    load.unwrap_or_default(),
                );
                loads.extend(load);
                match tool {
                    Tool::Espbroker => ours.push(measured),
                    Tool::Esptool => theirs.push(measured),
                }
            }
        }
        Row::new(case, baud, Side::new(ours)?, Side::new(theirs)?, &loads)
    }
}

/// Bytes that zlib makes of them at its best.
///
/// # Errors
///
/// Never: memory takes what is written to it.
fn packed(bytes: &[u8]) -> Result<usize, Failure> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
