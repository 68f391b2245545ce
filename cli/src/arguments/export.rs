//! Flags of `export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DeviceArguments, LoaderArguments};

/// For which other broker.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Write mosquitto.conf, password file, access list and bridges that equal a device's settings
    ///
    /// Passwords stay as they are: mosquitto reads the same hashes. What mosquitto cannot say is left out on the side
    /// of less access, and named.
    Mosquitto(ExportMosquittoArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExportMosquittoArguments {
    /// Folder to write to; it is created when missing
    pub(crate) folder: PathBuf,
    /// Settings in TOML, as `setup` takes them, instead of those of a device
    #[arg(long, value_name = "FILE", conflicts_with = "port")]
    pub(crate) settings: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Replace files of an earlier export
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
