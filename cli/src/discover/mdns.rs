//! Asking multicast DNS for brokers as a plain DNS client (RFC 6762 §5.1), and reading what comes back.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use espbroker_node::discovery::names::{A, ANSWER, PTR, Reader, SRV, TXT, write_name};

use super::{Found, plain};
use crate::hex;

/// The service that is asked for.
const SERVICE: &str = "_mqtt._tcp.local";
/// Questions and records looked at in one message.
const RECORDS_MAX: u32 = 256;

/// Who offers MQTT.
pub(super) fn question() -> Vec<u8> {
    // One question, and an id that nobody looks at: answers are told by what is in them.
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    write_name(&mut bytes, &SERVICE.split('.').collect::<Vec<_>>());
    bytes.extend_from_slice(&PTR.to_be_bytes());
    bytes.extend_from_slice(&1u16.to_be_bytes());
    bytes
}

/// The brokers in one message; nothing, where it is none.
pub(super) fn read(message: &[u8], from: IpAddr) -> Vec<Found> {
    let mut records = Records::default();
    // What was read before a message breaks off is still true.
    let _ = records.read(message);
    records.instances.iter().filter_map(|instance| records.found(instance, from)).collect()
}

#[derive(Default)]
struct Records {
    instances: Vec<String>,
    hosts: BTreeMap<String, (u16, String)>,
    texts: BTreeMap<String, BTreeMap<String, String>>,
    addresses: BTreeMap<String, Ipv4Addr>,
}

impl Records {
    fn read(&mut self, message: &[u8]) -> Option<()> {
        let mut reader = Reader::new(message);
        let header = reader.header()?;
        if header.flags & ANSWER == 0 {
            return None;
        }
        for _ in 0..u32::from(header.questions).min(RECORDS_MAX) {
            reader.question()?;
        }
        let count: u32 = header.records.iter().map(|&count| u32::from(count)).sum();
        for _ in 0..count.min(RECORDS_MAX) {
            let record = reader.record()?;
            let name = reader.at(record.name).name()?;
            let mut data = reader.at(record.data);
            match record.kind {
                PTR if name == SERVICE => self.instances.extend(data.name()),
                SRV => {
                    let _priority_and_weight = data.take(4)?;
                    let port = data.number()?;
                    self.hosts.insert(name, (port, data.name()?));
                }
                TXT => {
                    self.texts.insert(name, pairs(data.take(record.length)?));
                }
                A => {
                    let octets: [u8; 4] = *data.take(record.length)?.first_chunk()?;
                    self.addresses.insert(name, Ipv4Addr::from(octets));
                }
                _ => {}
            }
        }
        Some(())
    }

    fn found(&self, instance: &str, from: IpAddr) -> Option<Found> {
        let (port, host) = self.hosts.get(instance)?;
        let texts = self.texts.get(instance);
        let text = |key: &str| texts.and_then(|texts| texts.get(key)).map(|text| plain(text));
        let name = instance.strip_suffix(SERVICE).and_then(|name| name.strip_suffix('.'))?;
        Some(Found {
            name: plain(name),
            host: self.addresses.get(host).map_or(from, |address| IpAddr::V4(*address)),
            mqtt_port: Some(*port).filter(|port| *port != 0),
            websocket_port: text("websocket").and_then(|port| port.parse().ok()),
            mac: text("mac").and_then(|mac| hex::array(&mac)),
            firmware: text("version"),
            role: text("role"),
            profile: text("profile"),
        })
    }
}

/// Key and value pairs of a TXT record (RFC 6763 §6.3); the first of equal keys counts.
fn pairs(mut data: &[u8]) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    while let Some((&length, rest)) = data.split_first() {
        let Some((text, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        let text = String::from_utf8_lossy(text);
        if let Some((key, value)) = text.split_once('=') {
            pairs.entry(key.to_ascii_lowercase()).or_insert_with(|| value.to_owned());
        }
        data = rest;
    }
    pairs
}
