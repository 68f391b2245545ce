//! Flags that say which device and how to reach its loader.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which device.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeviceArguments {
    /// Serial port, or rfc2217://HOST:PORT; found by itself when only one looks like an ESP8266
    #[arg(short, long, env = "ESPBROKER_PORT", value_name = "PORT")]
    pub(crate) port: Option<String>,
}

/// How to reach the serial loader.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoaderArguments {
    /// Baud rate to flash at; without a stub the boot ROM is most reliable at 115200
    #[arg(long, value_name = "BAUD", value_parser = clap::value_parser!(u32).range(9_600..=2_000_000))]
    pub(crate) baud: Option<u32>,
    /// Flasher stub to load into RAM, in esptool's JSON form: faster, and can verify and read
    #[arg(long, value_name = "FILE")]
    pub(crate) stub: Option<PathBuf>,
    /// How to bring the chip into its loader
    #[arg(long, value_enum, default_value_t = Reset::Auto, value_name = "HOW")]
    pub(crate) reset: Reset,
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
