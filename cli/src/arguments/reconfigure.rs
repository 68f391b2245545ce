//! Flags of `reconfigure`, `rotate-keys` and `wipe`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DeviceArguments, LoaderArguments};

/// Which device, and which way to it.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhichArguments {
    /// Device in the network: a name, MAC address or IP address, perhaps with :PORT of its broker. With --port as well,
    /// the serial port is what is left when it does not answer
    #[arg(long, value_name = "NAME|ADDRESS", conflicts_with = "all")]
    pub(crate) host: Option<String>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Every device that was set up from this computer, one after the other; one that fails does not stop the others
    #[arg(long)]
    pub(crate) all: bool,
    /// Way to the device
    #[arg(long, value_enum, default_value_t = Via::Auto, value_name = "WAY")]
    pub(crate) via: Via,
    /// File with the device's admin key as 64 hex digits, for a device that was set up from another computer; - reads
    /// standard input
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub(crate) admin_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
}

/// Way to a device.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub(crate) enum Via {
    /// The first of the others that works
    Auto,
    /// Over the network, sealed with the device's admin key
    Network,
    /// Over the serial console of the running device, sealed with its admin key
    Console,
    /// Through the boot loader: needs the board's reset and GPIO0 lines, or your hands
    Loader,
}

/// How it is done.
#[derive(Clone, Debug, Args)]
pub(crate) struct CarryOutArguments {
    /// Seconds within which the device must have joined its network and logged in its changed bridges; else it goes back
    /// to the settings before, by itself. Not through the boot loader
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(10..=600))]
    pub(crate) try_for: u16,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReconfigureArguments {
    #[command(flatten)]
    pub(crate) which: WhichArguments,
    #[command(flatten)]
    pub(crate) how: CarryOutArguments,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RotateKeysArguments {
    #[command(flatten)]
    pub(crate) which: WhichArguments,
    #[command(flatten)]
    pub(crate) how: CarryOutArguments,
}

/// What is to be changed; a flag wins over the settings file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What to change (all else stays)")]
pub(crate) struct ChangeArguments {
    /// Settings in TOML, as `setup` takes them; fields left out keep what the device has
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Name of the device: a-z, 0-9 and -
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Wi-Fi network to join (2.4 GHz); without a passphrase file it must be open
    #[arg(long, value_name = "NAME")]
    pub(crate) ssid: Option<String>,
    /// File with the Wi-Fi passphrase; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "open_network")]
    pub(crate) wifi_passphrase_file: Option<PathBuf>,
    /// The Wi-Fi network has no passphrase
    #[arg(long)]
    pub(crate) open_network: bool,
    /// The Wi-Fi network hides its name
    #[arg(long)]
    pub(crate) hidden: bool,
    /// User of the broker who gets a new password; a new one may do everything
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,
    /// File with that user's password; - reads standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// MQTT port of the broker
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) mqtt_port: Option<u16>,
    /// Bridge that the --bridge-... flags are about; left out, the only one
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: Option<String>,
    /// Host of the other broker
    #[arg(long, value_name = "HOST")]
    pub(crate) bridge_host: Option<String>,
    /// Port of the other broker
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) bridge_port: Option<u16>,
    /// User there
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge_user: Option<String>,
    /// File with that user's password; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) bridge_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WipeArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Name of the device, or its MAC address where it has no settings: what you are asked to type on a terminal
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Also forget the device on this computer, with the keys that are kept for it
    #[arg(long)]
    pub(crate) forget: bool,
    /// Print what would be erased, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
