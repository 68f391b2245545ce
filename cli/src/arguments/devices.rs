//! Flags of `devices` and `discover`.

use std::net::Ipv4Addr;

use clap::{Args, Subcommand};

/// Flags of `devices`; without a command it lists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevicesArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DevicesCommand>,
    #[command(flatten)]
    pub(crate) list: DevicesListArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevicesCommand {
    /// List known devices: name, MAC address, address, version, board, last seen
    List(DevicesListArguments),
    /// Show all that is known of one device
    Show(DevicesShowArguments),
    /// Call a device something else on this computer; its own settings stay
    Rename(DevicesRenameArguments),
    /// Forget devices, with the keys that are kept for them
    Forget(DevicesForgetArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DevicesListArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesShowArguments {
    /// Name or MAC address
    pub(crate) name: String,
    /// Print the password that was generated for it, and nothing else
    #[arg(long)]
    pub(crate) password: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesRenameArguments {
    /// Name or MAC address
    pub(crate) name: String,
    /// What to call it
    pub(crate) new_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesForgetArguments {
    /// Names or MAC addresses
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Answer yes to questions
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Flags of `discover`.
#[derive(Debug, Args)]
pub(crate) struct DiscoverArguments {
    /// Only this device: a name, MAC address or IP address; known devices are asked where they were last seen
    pub(crate) name: Option<String>,
    /// How long to wait for answers
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Ask in the network of this address of this computer; may be repeated. Left out: the default route's network,
    /// and this computer
    #[arg(long = "interface", value_name = "ADDRESS")]
    pub(crate) interfaces: Vec<Ipv4Addr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
