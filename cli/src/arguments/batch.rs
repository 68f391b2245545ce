//! Flags of `batch`.

use std::path::PathBuf;

use clap::Args;

use super::{LoaderArguments, TrustArguments};
use crate::batch::Ports;

const EXAMPLES: &str = "\
Examples:
  A fleet.toml for twenty plugs and one board that is known by its address:

    [template]                        # as a settings file, for all of them
    name = \"plug-{mac:6}\"             # the last six digits of the MAC address
    profile = \"d1-mini\"
    wifi = { ssid = \"site\", passphrase_file = \"wifi.txt\" }
    [[template.bridges]]
    name = \"cloud\"
    host = \"broker.example.org\"
    user = \"{name}\"
    password = \"file:bridges/{name}.txt\"   # or env:NAME, keyring:NAME

    [[device]]                        # this one: by mac, or location = \"1-2.3\"
    mac = \"5c:cf:7f:01:02:03\"
    name = \"hall\"

    [[device]]                        # the next twenty that are connected
    count = 20

  The same as CSV: mac,location,count,name,wifi.ssid,bridges.cloud.password

  espbroker batch fleet.toml --dry-run          show the rows, touch nothing
  espbroker batch fleet.toml                    every adapter that is plugged in, until all are done
  espbroker batch fleet.csv --settings site.toml --ports /dev/ttyUSB0,/dev/ttyUSB1
  espbroker batch fleet.toml --report labels.html

  Stop it whenever you like: the same command goes on from the journal.";

/// Flags of `batch`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BatchArguments {
    /// The devices: TOML or CSV, with a template for what they have in common
    pub(crate) fleet: PathBuf,
    /// Ports to work on, all at once: `auto` takes adapters as they are plugged in; else names with commas between
    /// them, /dev/ttyUSB0 or rfc2217://HOST:PORT
    #[arg(long, value_name = "PORTS", default_value = "auto", value_parser = clap::value_parser!(Ports))]
    pub(crate) ports: Ports,
    /// Settings in TOML that all devices have, under what the fleet says
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Where it is written down how far each device is; FLEET.journal when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Labels of the finished devices with name, MAC address and QR code, as .html or .csv; an older one is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Firmware image to flash; left out, the newest release on this computer
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    #[command(flatten)]
    pub(crate) loader: LoaderArguments,
    /// End when no device was connected for this long; left out, never on a terminal, and after 60 elsewhere
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    /// Do finished devices again whose rows have changed since
    #[arg(long)]
    pub(crate) redo_changed: bool,
    /// Print the rows as they would be, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Answer yes to questions: replace firmware and settings that are on the devices
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Confirm that mains-powered devices are unplugged from the mains
    #[arg(long)]
    pub(crate) off_mains: bool,
    /// Do not ring the terminal's bell when a device can be unplugged
    #[arg(long)]
    pub(crate) quiet_bell: bool,
}
