//! The command line: one type per command, resolved once. Doc comments here are the help text.
//!
//! No flag takes a secret: passwords come from a prompt, a file or standard input, because other users of a
//! computer can read a program's arguments.

mod batch;
mod broker;
mod device;
mod devices;
mod export;
mod firmware;
mod reconfigure;
mod setup;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use batch::BatchArguments;
pub(crate) use broker::BrokerArguments;
pub(crate) use device::{DeviceArguments, LoaderArguments, Reset, StubChoice};
pub(crate) use devices::{
    DevicesArguments, DevicesCommand, DevicesForgetArguments, DevicesListArguments, DevicesRenameArguments,
    DevicesShowArguments, DiscoverArguments,
};
pub(crate) use export::{ExportCommand, ExportMosquittoArguments};
pub(crate) use firmware::{
    DoctorArguments, FirmwareBuildArguments, FirmwareBundleArguments, FirmwareCommand,
    FirmwareFetchArguments, FirmwareListArguments, FirmwareVerifyArguments, KeyArguments, TrustArguments,
};
pub(crate) use reconfigure::{
    CarryOutArguments, ChangeArguments, ReconfigureArguments, RotateKeysArguments, Via, WhichArguments,
    WipeArguments,
};
pub(crate) use setup::{AnswerArguments, SetupArguments, SimulationArguments};

/// Set up an MQTT broker on an ESP8266: flash it, configure it, test it
///
/// Start with `espbroker setup`. Without a board, try `espbroker setup --simulate`.
///
/// Results go to stdout; progress and messages go to stderr. Exit code 0: done and true. 1: the device's answer is
/// no (a check failed, flash differs). 2: it could not be done. 130: stopped with Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "espbroker", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How much is said.
#[derive(Clone, Debug, Args)]
pub(crate) struct OutputArguments {
    /// Say nothing but errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more; twice prints the serial protocol with secrets left out
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Flash, configure and test a broker, from a blank board to a working login
    Setup(Box<SetupArguments>),
    /// Set up many devices on many ports at once, from a fleet file
    ///
    /// Each row of the fleet is a device: one with a certain MAC address, the one at a certain USB socket, or the next
    /// that is connected. A journal knows what is done, so that the same command goes on wherever it was stopped. One
    /// device that fails stops no other.
    ///
    /// Exit code 0: every row is done. 1: some are not. 2: it could not run. 130: stopped with Ctrl-C, once to finish
    /// what is being written, twice to leave at once.
    Batch(Box<BatchArguments>),
    /// List serial ports and say which of them look like an ESP8266
    Ports(PortsArguments),
    /// Show chip, MAC address, flash and firmware of a connected device
    Info(InfoArguments),
    /// Show what a running device says on its serial port
    Monitor(MonitorArguments),
    /// Read, show or write the config partition, leaving the firmware alone
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Change settings of a device that is set up, over the network or its serial port, without flashing
    ///
    /// Only what is named changes. Over the network and over the serial console of a running device the change is sealed
    /// with the device's admin key, which `setup` has kept on this computer; the device tries it, and goes back to what it
    /// had if that fails. Through the boot loader the other of two config sectors is written.
    #[command(after_long_help = "Examples:\n  \
        espbroker reconfigure --host hall --bridge-host mqtt.example.org --dry-run\n  \
        espbroker reconfigure --host hall --ssid garden --wifi-passphrase-file wifi.txt\n  \
        espbroker reconfigure --all --settings bridges.toml --yes\n  \
        espbroker reconfigure --port /dev/ttyUSB0 --user home --password-file new.txt")]
    Reconfigure(Box<ReconfigureArguments>),
    /// Give a device a new admin key, which is what changes over the network are sealed with
    ///
    /// The new key travels sealed with the old one. The old one is kept on this computer until the device has confirmed
    /// the new one, so that a cut at any moment locks nobody out.
    RotateKeys(Box<RotateKeysArguments>),
    /// Erase settings, keys, stored messages and the Wi-Fi parameters of a device, before you give it away
    ///
    /// Goes through the boot loader, so the board must be connected. The firmware stays, and opens its own access point
    /// when it finds no settings.
    Wipe(WipeArguments),
    /// Compare a device's firmware with an image file
    Verify(VerifyArguments),
    /// Save a device's flash, or one region of it, to a file
    Backup(BackupArguments),
    /// Write a backup back to a device
    Restore(RestoreArguments),
    /// Erase one region of a device's flash, or all of it
    Erase(EraseArguments),
    /// Try out a board, its adapter and its cable, and write a report to attach to a bug
    Selftest(SelftestArguments),
    /// List, rename or forget the devices that were set up from this computer
    Devices(DevicesArguments),
    /// Find devices, and other brokers, in the network
    Discover(DiscoverArguments),
    /// Write a device's settings as another broker's files
    #[command(subcommand)]
    Export(ExportCommand),
    /// Run the device's broker on this computer, to try settings, topics and bridges without a board
    Broker(BrokerArguments),
    /// Run a virtual ESP8266 that any serial flashing tool can talk to
    Simulate(SimulateArguments),
    /// Firmware releases: what is here, where to get more, and whether they can be trusted
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Look for what stands in the way on this computer: ports, permissions, drivers, services, tools
    Doctor(DoctorArguments),
    /// List the boards that ship with the program
    Profiles(ProfilesArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PortsArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Baud rate to listen at; the boot ROM speaks at 74880
    #[arg(long, value_name = "BAUD", default_value_t = 115_200)]
    pub(crate) monitor_baud: u32,
    /// Do not reset the device first
    #[arg(long)]
    pub(crate) no_reset: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a device's settings as TOML, secrets masked
    Show(ConfigShowArguments),
    /// Save both config slots of a device to a file (it contains secrets)
    Read(ConfigReadArguments),
    /// Write new settings to a device; its firmware and the settings before stay in flash
    Write(Box<ConfigWriteArguments>),
    /// Make the config partition as a file, without a device (it contains secrets)
    Build(ConfigBuildArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Show a file made by `config read` instead of a device
    #[arg(long, value_name = "FILE", conflicts_with = "port")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigReadArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Where to save; must not exist yet
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigBuildArguments {
    /// Settings in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: PathBuf,
    /// Where to save: 8,192 bytes for offset 0x200000; must not exist yet
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigWriteArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Settings in TOML; fields left out keep what the device has
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: PathBuf,
    /// Print what would be written, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Firmware image to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) image: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// Where to save; must not exist yet
    pub(crate) file: PathBuf,
    /// Region of the flash map to save instead of everything
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Keep the config slots and Wi-Fi parameters in the file, secrets included
    #[arg(long)]
    pub(crate) include_secrets: bool,
    /// Read through the boot ROM even where that takes minutes
    #[arg(long)]
    pub(crate) slow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// File made by `backup`
    pub(crate) file: PathBuf,
    /// Region of the flash map that the file holds
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Print what would be written, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(crate) struct EraseWhat {
    /// Region of the flash map to erase
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Erase everything, radio calibration included
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    #[command(flatten)]
    pub(crate) what: EraseWhat,
    /// Print what would be erased, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SelftestArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Where to save the report: JSON when the name ends in .json, else Markdown; must not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Read and measure only: leave out what writes to 64 KB of the store region and restores them
    #[arg(long)]
    pub(crate) no_write: bool,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Use a virtual ESP8266 instead of a board
    #[arg(long, conflicts_with = "port")]
    pub(crate) simulate: bool,
    #[command(flatten)]
    pub(crate) simulation: SimulationArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// Serve RFC 2217 (serial port over TCP) on this address; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    pub(crate) rfc2217: Option<std::net::SocketAddr>,
    /// Serve a pseudo terminal, and print its path (Linux and macOS)
    #[arg(long)]
    pub(crate) pty: bool,
    /// Keep the flash in this file; it is created blank
    #[arg(long, value_name = "FILE")]
    pub(crate) flash: Option<PathBuf>,
    /// What is executed when firmware for the virtual ESP8266 starts
    #[arg(long, value_enum, default_value_t = Execution::Lx106, value_name = "EXECUTION")]
    pub(crate) execute: Execution,
    /// Also write the firmware image for the virtual device to a file, for other flashing tools
    #[arg(long, value_name = "FILE")]
    pub(crate) write_image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) simulation: SimulationArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProfilesArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// Shell to write for
    pub(crate) shell: Shell,
}

/// What the virtual device makes of an image for it.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub(crate) enum Execution {
    /// It executes the image, instruction by instruction
    Lx106,
    /// The same firmware runs in the image's place as it was built into this program
    Host,
}

/// How fast the virtual device is.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Serial line and flash take the time that they take on a board
    RealTime,
    /// Serial line and flash take no time
    Instant,
}
