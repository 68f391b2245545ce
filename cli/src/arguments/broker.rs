//! Flags of `broker`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

/// Flags of `broker`; a flag wins over the settings file.
#[derive(Clone, Debug, Args)]
pub(crate) struct BrokerArguments {
    /// Settings in TOML, as `setup` takes them; what is only for a board is ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Let everybody in without a password
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Address to listen on; 0.0.0.0 opens the broker to your network
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Port of MQTT
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Port of MQTT over WebSocket; 0 for none
    #[arg(long, value_name = "PORT")]
    pub(crate) websocket_port: Option<u16>,
    /// Memory for connections and messages; with 45000 the broker is as small as on an ESP8266
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) memory: u32,
    /// Keep retained messages in this file, created when missing; it also holds the settings
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}
