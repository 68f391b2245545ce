//! Flags of `setup`, and those of every simulated device.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceArguments, Execution, LoaderArguments, Pace, TrustArguments};

/// Flags of `setup`; a flag wins over the settings file, the settings file over questions.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Use a virtual ESP8266 instead of a board; with no other answers also a demo network. It executes the image; with
    /// =host, the same firmware as it was built into this program
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "lx106",
        value_name = "EXECUTION",
        conflicts_with = "port"
    )]
    pub(crate) simulate: Option<Execution>,
    /// Keep the flash of the virtual ESP8266 in this file, so that it survives the program
    #[arg(long, value_name = "FILE", requires = "simulate")]
    pub(crate) flash: Option<PathBuf>,
    /// Keep the virtual ESP8266 running after the report, until Ctrl-C
    #[arg(long, requires = "simulate")]
    pub(crate) hold: bool,
    #[command(flatten)]
    pub(crate) simulation: SimulationArguments,
    /// Firmware image to flash; left out, the newest release on this computer
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    #[command(flatten)]
    pub(crate) answers: AnswerArguments,
    /// Print the plan, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Answer yes to questions: replace firmware and settings that are on the device
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Confirm that a mains-powered device is unplugged from the mains
    #[arg(long)]
    pub(crate) off_mains: bool,
}

/// Answers to the wizard's questions.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Answers (asked for on a terminal when left out)")]
pub(crate) struct AnswerArguments {
    /// Settings in TOML; see the README for every field
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Name of the device: a-z, 0-9 and -
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Board; `espbroker profiles` lists them
    #[arg(long, value_name = "ID")]
    pub(crate) profile: Option<String>,
    /// Wi-Fi network to join (2.4 GHz)
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
    /// First user of the broker
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with that user's password; - reads standard input; left out, one is generated
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// MQTT port of the broker
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) mqtt_port: Option<u16>,
}

/// What the virtual ESP8266 and its surroundings are like.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Simulation")]
pub(crate) struct SimulationArguments {
    /// How fast serial line and flash are
    #[arg(long, value_enum, default_value_t = Pace::RealTime, value_name = "PACE")]
    pub(crate) pace: Pace,
    /// Network in the air as NAME or NAME=FILE with its passphrase; may be repeated
    #[arg(long = "network", value_name = "NAME[=FILE]")]
    pub(crate) networks: Vec<String>,
    /// Fault to inject, such as lose-byte=900 or power-cut=40; may be repeated (README lists them)
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<String>,
    /// MAC address of the virtual chip; one that is not locally administered makes it pass for a real chip
    #[arg(long, value_name = "MAC")]
    pub(crate) mac: Option<String>,
    /// Address on this computer at which the simulated broker listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: std::net::IpAddr,
}
