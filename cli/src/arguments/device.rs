//! Flags that say which device and how to reach its loader.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

/// Which device.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeviceArguments {
    /// Serial port, rfc2217://HOST:PORT, or the name of a known device that is connected; found by itself when only one
    /// looks like an ESP8266
    #[arg(short, long, env = "ESPBROKER_PORT", value_name = "PORT")]
    pub(crate) port: Option<String>,
}

/// How to reach the serial loader.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoaderArguments {
    /// Baud rate to flash at; left out, 460800, 230400 and 115200 are tried, and the one that works is remembered
    #[arg(long, value_name = "BAUD", value_parser = clap::value_parser!(u32).range(9_600..=2_000_000))]
    pub(crate) baud: Option<u32>,
    /// Try 1500000 and 921600 baud first, each after a probe of the line
    #[arg(long, conflicts_with = "baud")]
    pub(crate) fast: bool,
    /// Stub to load into RAM instead of espbroker's own: a file in esptool's JSON form, or `rom` for none
    #[arg(long, value_name = "FILE")]
    pub(crate) stub: Option<StubChoice>,
    /// How to bring the chip into its loader
    #[arg(long, value_enum, default_value_t = Reset::Auto, value_name = "HOW")]
    pub(crate) reset: Reset,
}

impl LoaderArguments {
    /// Whether no flag asks for the loader to be reached in some way.
    pub(crate) fn is_plain(&self) -> bool {
        self.baud.is_none() && !self.fast && self.stub.is_none() && self.reset == Reset::Auto
    }
}

/// Which program answers in the loader's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StubChoice {
    /// None: the boot ROM itself.
    Rom,
    /// One of somebody else's.
    File(PathBuf),
}

impl FromStr for StubChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "rom" | "none" => Self::Rom,
            path => Self::File(path.into()),
        })
    }
}

/// How to bring the chip into its loader.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Through DTR and RTS, as development boards are wired
    Auto,
    /// You hold GPIO0 low and power-cycle the device; waits until it answers
    Manual,
    /// The loader is running already
    None,
}
