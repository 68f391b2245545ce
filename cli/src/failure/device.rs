//! Hints for a device that was written and does not do what it should.

use std::io::ErrorKind;

use espbroker_node::status::{BridgeReason, ListenFailure, Service, WifiReason};

use super::{CABLE, Exit, Explain, RERUN, no, unable};
use crate::{check::CheckError, commands::broker::BrokerError, setup::SetupError, start_up::StartUpError};

impl Explain for StartUpError {
    fn explain(&self) -> (Exit, Option<String>) {
        const SETTINGS_ONLY: &str =
            "The firmware is in place; `espbroker config write` writes the settings alone";
        match self {
            Self::OtherDevice { .. } => {
                no("leave the device connected until it is done, and run setup again")
            }
            Self::ImageDiffers { .. } | Self::NoImage => {
                no(format!("run setup again; if it happens again, {CABLE}"))
            }
            Self::ConfigDiffers { .. } | Self::Unconfirmed { .. } => no("run setup again"),
            Self::WrongPassphrase { .. } => {
                no(format!("check the passphrase, capitals and spaces included. {SETTINGS_ONLY}"))
            }
            Self::NetworkNotFound { .. } => no(format!(
                "check the name letter by letter; the ESP8266 sees 2.4 GHz networks only, channels 1-13, and no \
                 WPA3-only ones; a hidden network needs --hidden. {SETTINGS_ONLY}"
            )),
            Self::NoAddress { .. } => no(
                "the router's DHCP does not answer: has it free addresses? Else give a fixed one in [wifi.ipv4]",
            ),
            Self::NotJoined { reason: WifiReason::AccessPointFull, .. } => {
                no("the access point takes no more devices: restart it, or remove some")
            }
            Self::NotJoined { .. } => no("move the device closer to the access point, and try again"),
            Self::PortNotOpen { reason: ListenFailure::InUse, service: Service::Mqtt, .. } => no(
                "another program has this port (a mosquitto?): stop it, or choose another with --mqtt-port",
            ),
            Self::PortNotOpen { reason: ListenFailure::InUse, service: Service::WebSocket, .. } => no(
                "another program has this port: stop it, or choose another websocket_port in the settings file",
            ),
            Self::PortNotOpen { reason: ListenFailure::NotSupported, service, .. } => {
                no(format!("this firmware does not serve {service} yet: leave its port out of the settings"))
            }
            Self::PortNotOpen { service: Service::WebSocket, .. } => {
                no("choose another websocket_port in the settings file")
            }
            Self::PortNotOpen { .. } => no("choose another port with --mqtt-port"),
            Self::AccessPointInstead => {
                no("the device could not join the network; `espbroker monitor` shows why")
            }
            Self::Crashing => no("`espbroker monitor` shows the start-up; please report it with that text"),
            Self::Silent { .. } => {
                no("if the wire from GPIO0 to GND is still there, remove it and power-cycle the device; \
                 `espbroker monitor --monitor-baud 74880` shows what the boot ROM says")
            }
            Self::TooSlow { .. } => no("`espbroker monitor` shows what the device is doing"),
            Self::StartedSilent => {
                no("is this image built for this board and flash mode? `espbroker monitor` shows more")
            }
            Self::BootChecksum | Self::NothingToStart => no(format!(
                "run setup again; if it happens again the flash may not work in the image's mode, or {CABLE}"
            )),
            Self::StaysInLoader { .. } => no("remove the wire from GPIO0 to GND, and power-cycle the device"),
        }
    }
}

impl Explain for CheckError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Unreachable { .. } => no(
                "the device is on the Wi-Fi; is this computer on the same network, and does the access point let its \
                 clients see each other (no guest network, no client isolation)?",
            ),
            Self::WebSocketClosed { .. } => no(
                "MQTT over TCP works, so this may be a firewall between here and the device; websocket_port chooses \
                 another port, and 0 turns WebSocket off",
            ),
            Self::NotWebSocket { .. } | Self::NotMqtt => no(
                "does something between here and the device answer for it, a proxy? Else please report this",
            ),
            Self::Silent { .. } | Self::Broken { .. } | Self::WebSocketBroken { .. } => {
                no("move the device closer to the access point, and run setup again")
            }
            Self::Refused { .. } => {
                no("the device uses other credentials than were written: run setup again")
            }
            Self::LetIn { .. } => {
                no("do not use this device: it does not check passwords; please report this")
            }
            Self::Changed { .. } => no("please report this"),
        }
    }
}

impl Explain for SetupError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoImage => unable(
                "get a release with `espbroker firmware fetch`, or name an image with --image FILE. To see it all without \
                 a board, use --simulate",
            ),
            Self::WouldLose { .. } => unable("save it with `espbroker backup`, then allow it with --yes"),
            Self::OnMains { .. } => unable(
                "MAINS VOLTAGE KILLS: unplug the device, power it from 3.3 V only, then confirm with --off-mains",
            ),
            Self::ImageNotVerified { .. } => no(format!("run setup again; if it happens again, {CABLE}")),
            Self::ConfigTooLong(_) => {
                unable("use fewer users, permissions, bridges or topics, or shorter ones")
            }
            Self::SavePassword { .. } => unable("give your own password with --user and --password-file"),
            Self::NotBridged { failed } => no(not_bridged_hint(failed)),
            Self::Stopped => (Exit::Stopped, Some(RERUN.to_owned())),
        }
    }
}

impl Explain for BrokerError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoSettings => unable(
                "try `espbroker broker --anonymous`, or name a file with --config; this is enough for it: \
                 broker.users = [{ name = \"home\", password = \"...\" }]",
            ),
            Self::NobodyMayEnter => unable("add [[broker.users]], or let everybody in with --anonymous"),
            Self::Address { .. } => unable(
                "--bind takes an address of this computer: 127.0.0.1 for its own programs, 0.0.0.0 for all networks",
            ),
            Self::PortNotOpen { service, reason, .. } => {
                let flag = match service {
                    Service::Mqtt => "--port",
                    Service::WebSocket => "--websocket-port",
                };
                match reason {
                    ListenFailure::InUse => unable(format!(
                        "another program has this port (a mosquitto?): stop it, or choose another with {flag}"
                    )),
                    ListenFailure::Denied => {
                        unable(format!("ports below 1024 are for administrators: choose another with {flag}"))
                    }
                    ListenFailure::NotSupported => unable("leave this port out of the settings"),
                    ListenFailure::Other => unable(format!("choose another port with {flag}")),
                }
            }
            Self::Store { source, .. } => match source.kind() {
                ErrorKind::ResourceBusy => unable("stop the broker that uses it, or name another file"),
                ErrorKind::InvalidData => unable("name a file that is not there yet, or that a broker made"),
                _ => (Exit::Unable, None),
            },
            Self::NotAStore { .. } => unable("name a file that is not there yet, or that a broker made"),
            Self::Settings(_) | Self::Flash(_) | Self::System(_) | Self::Ended => (Exit::Unable, None),
        }
    }
}

/// The device is as it should be; what its bridges need is a matter of settings.
fn not_bridged_hint(failed: &[(String, BridgeReason)]) -> String {
    let mut hints: Vec<&str> = Vec::new();
    for (_, reason) in failed {
        let hint = bridge_hint(*reason);
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    format!(
        "{}. All else is done, and the broker runs; `espbroker config write` changes settings without flashing",
        hints.join("; ")
    )
}

/// What to do about a bridge that has failed; it goes on trying unless that makes no sense.
pub(crate) const fn bridge_hint(reason: BridgeReason) -> &'static str {
    match reason {
        BridgeReason::NameNotFound => "check the bridge's host letter by letter, and the network's DNS",
        BridgeReason::Refused => "check the bridge's port, and whether the other broker runs",
        BridgeReason::Unreachable | BridgeReason::TimedOut => {
            "check the bridge's host, and whether a firewall is in the way"
        }
        BridgeReason::ConnectionLost | BridgeReason::ServerUnavailable | BridgeReason::Other => {
            "it tries again by itself"
        }
        BridgeReason::NoAnswer | BridgeReason::ProtocolRefused => {
            "set try_private = false if the other broker is strict about the protocol; a port for TLS answers like \
             this too"
        }
        BridgeReason::ProtocolViolated => "is the bridge's port one for MQTT?",
        BridgeReason::IdentifierRejected => "give the bridge another client_id",
        BridgeReason::BadCredentials => "check user and password of the bridge",
        BridgeReason::NotAuthorized => {
            "check user and password of the bridge, and what the other broker allows this user"
        }
        BridgeReason::TlsNotSupported => "use the other broker's port without TLS, with tls = false",
    }
}
