//! The project's own probe: one datagram asks who is there, each device answers with one.
//!
//! Both are lines in the syntax of the status lines, check sum included:
//!
//! ```text
//! @eb probe token=0123456789abcdef pad=---... *1a2b
//! @eb device token=0123456789abcdef name=hall mac=5ccf7f000001 version=0.1.0 target=esp8266 role=broker
//!     profile=nodemcu mqtt=1883 websocket=8083 *3c4d          (one line; ports that are off are left out)
//! ```
//!
//! The token tells answers to one asker from those to another. The padding makes the question at least as long as any
//! answer. Nothing is sealed: whoever believes an answer must still log in, or seal what it sends with the admin key.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use espbroker_config::{image::Target, model::Role};

use super::{Identity, Reach};
use crate::status::line::{self, Fields, hex};

/// Bytes of a probe.
pub const PROBE_LENGTH: usize = 320;

const PROBE: &str = "probe";
const DEVICE: &str = "device";
/// What every probe begins with; anything else is dropped before work is spent on it.
const BEGINNING: &[u8] = b"@eb probe token=";

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// As configured.
    pub name: String,
    /// Station MAC address.
    pub mac: [u8; 6],
    /// Firmware version.
    pub version: String,
    /// Machine the firmware was built for; `None` for one that this version does not know.
    pub target: Option<Target>,
    /// `None` for one that this version does not know.
    pub role: Option<Role>,
    /// Id of the profile.
    pub profile: Option<String>,
    /// Port of MQTT over TCP, while it is open.
    pub mqtt: Option<u16>,
    /// Port of MQTT over WebSocket, while it is open.
    pub websocket: Option<u16>,
}

/// A probe to send.
pub fn question(token: [u8; 8]) -> Vec<u8> {
    let write = |padding: usize| {
        let mut line = line::Writer::new(PROBE);
        line.field("token", hex::to_text(&token));
        line.field("pad", "-".repeat(padding));
        line.finish().into_bytes()
    };
    write(PROBE_LENGTH - write(0).len())
}

/// Reads an answer to the probe with this token; `None` for anything else.
pub fn read(bytes: &[u8], token: [u8; 8]) -> Option<Device> {
    let (_, fields) = line::read(bytes).ok().flatten().filter(|(kind, _)| kind == DEVICE)?;
    let fields = Fields(&fields);
    if hex::from_text(fields.value("token")?) != Some(token) {
        return None;
    }
    Some(Device {
        name: fields.parsed("name")?,
        mac: hex::from_text(fields.value("mac")?)?,
        version: fields.parsed("version")?,
        target: fields.parsed("target"),
        role: fields.parsed("role"),
        profile: fields.parsed("profile"),
        mqtt: fields.parsed("mqtt"),
        websocket: fields.parsed("websocket"),
    })
}

/// The answer to what may be a probe.
pub(super) fn answer(bytes: &[u8], identity: &Identity, reach: Reach) -> Option<Vec<u8>> {
    if bytes.len() > 2 * PROBE_LENGTH || !bytes.starts_with(BEGINNING) {
        return None;
    }
    let (kind, fields) = line::read(bytes).ok().flatten()?;
    let token: [u8; 8] = hex::from_text(Fields(&fields).value("token")?)?;
    if kind != PROBE {
        return None;
    }
    let mut line = line::Writer::new(DEVICE);
    line.field("token", hex::to_text(&token));
    line.field("name", &identity.name);
    line.field("mac", hex::to_text(&identity.mac));
    line.field("version", env!("CARGO_PKG_VERSION"));
    line.field("target", identity.target.word());
    line.field("role", identity.role.word());
    if let Some(profile) = &identity.profile {
        line.field("profile", profile);
    }
    for (key, port) in [("mqtt", reach.mqtt), ("websocket", reach.websocket)] {
        if let Some(port) = port {
            line.field(key, port.to_string());
        }
    }
    Some(line.finish().into_bytes()).filter(|answer| answer.len() <= bytes.len())
}

/// A MAC address as TXT records and probes write it.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    format!("mac={}", hex::to_text(&mac))
}
