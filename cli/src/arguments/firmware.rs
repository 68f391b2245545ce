//! Flags of `firmware`, and those that say what is trusted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use semver::Version;

use crate::supply::Date;

/// Who may sign.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KeyArguments {
    /// Trust this public key of minisign as well, for releases that you sign yourself
    #[arg(long, env = "ESPBROKER_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What is trusted.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TrustArguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Take an image that nobody has signed, such as one of your own build
    #[arg(long)]
    pub(crate) allow_unsigned: bool,
}

/// What to do with firmware.
#[derive(Debug, Subcommand)]
pub(crate) enum FirmwareCommand {
    /// List the releases that are on this computer, and the one of a source
    List(FirmwareListArguments),
    /// Download a release, check it and keep it, for `setup` to use
    Fetch(FirmwareFetchArguments),
    /// Check signature, files and images of a release, or who vouches for an image
    Verify(FirmwareVerifyArguments),
    /// Write a release into a folder: for a computer without network, a web server, or ESP Web Tools
    Bundle(FirmwareBundleArguments),
    /// Build the images that `setup --image` writes, with Espressif's NONOS SDK
    ///
    /// The SDK is Espressif's and does not come with this program: clone `espressif/ESP8266_NONOS_SDK` from GitHub.
    /// Needs a checkout of espbroker's source, Rust, and GCC for the Xtensa LX106.
    Build(FirmwareBuildArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FirmwareBuildArguments {
    /// Espressif's NONOS SDK, version 3.0.4 or later
    #[arg(long, value_name = "DIR", env = "ESP8266_NONOS_SDK")]
    pub(crate) sdk: PathBuf,
    /// A checkout of espbroker's source
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) source: PathBuf,
    /// Where to write espbroker-esp8266-4mb.bin and, for plugs, espbroker-esp8266-1mb.bin
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct FirmwareListArguments {
    /// Also ask this folder or http(s) address
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FirmwareFetchArguments {
    /// Folder or http(s) address with the release's manifest
    #[arg(long, env = "ESPBROKER_FIRMWARE_SOURCE", value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Give a server up that says nothing for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) patience: u32,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Answer yes to questions: take a release that is older than one that is here
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FirmwareVerifyArguments {
    /// Folder of a release, or an image file; left out, all that is on this computer
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FirmwareBundleArguments {
    /// Folder to write; must be empty or not exist yet
    pub(crate) folder: PathBuf,
    /// Make a new, unsigned release of this image; may be repeated, once for each machine. Left out, the newest
    /// release on this computer is written
    #[arg(long = "image", value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// Oldest espbroker that may use the new release; this one when left out
    #[arg(long, value_name = "VERSION", requires = "images")]
    pub(crate) minimum_tool: Option<Version>,
    /// Day of the new release, as YYYY-MM-DD; today when left out
    #[arg(long, value_name = "DATE", requires = "images")]
    pub(crate) released: Option<Date>,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
