//! Multicast DNS (RFC 6762) and service discovery (RFC 6763): the device as an instance of `_mqtt._tcp`.
//!
//! Its four records are PTR, SRV, TXT and A, always sent together, uncompressed. Answered are questions for the service,
//! the instance, the host `<name>.local` and the list of services; alone where the asker wants that, or is no multicast
//! DNS itself (§6.7), else to the group. What the asker says it knows is not said again (§7.1).
//!
//! Left out: probing for the name before it is used and defending it (§8.1, §9), because names are given by the owner and
//! devices are told apart by MAC address; the farewell (§10.1), because power goes without a word; IPv6.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use super::{
    Identity, MDNS_PORT, Reach,
    names::{A, ANSWER, ANY, OPCODE, PTR, Question, Reader, SRV, TXT, write_name},
    probe::mac_text,
};

/// The service.
const SERVICE: [&str; 3] = ["_mqtt", "_tcp", "local"];
/// The list of all services (RFC 6763 §9).
const SERVICES: [&str; 4] = ["_services", "_dns-sd", "_udp", "local"];

/// Seconds for records with a host in them, and for the others (RFC 6762 §10).
const HOST_TIME: u32 = 120;
const OTHER_TIME: u32 = 4_500;
/// Most seconds for an asker that is no multicast DNS itself (RFC 6762 §6.7).
const LEGACY_TIME: u32 = 10;

/// Class IN.
const INTERNET: u16 = 1;
/// In a question: answer me alone. In an answer: forget what others have said of this.
const HIGHEST: u16 = 0x8000;
/// Authoritative answer.
const AUTHORITATIVE: u16 = 0x0400;
/// Questions looked at in one message.
const QUESTIONS_MAX: u16 = 16;
/// Records looked at in one message.
const RECORDS_MAX: u16 = 32;

/// An answer, and who it is for.
pub(super) enum Answer {
    /// The asker alone.
    Unicast(Vec<u8>),
    /// The group.
    Multicast(Vec<u8>),
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All four records.
    Instance,
    /// The address.
    Host,
    /// That there is such a service.
    Services,
}

/// All that is to be known, unasked; `None` while there is nothing to announce.
pub(super) fn announcement(identity: &Identity, reach: Reach) -> Option<Vec<u8>> {
    message(Wanted::Instance, None, identity, reach)
}

/// The answer to what may be a question.
pub(super) fn answer(bytes: &[u8], port: u16, identity: &Identity, reach: Reach) -> Option<Answer> {
    reach.mqtt?;
    let mut reader = Reader::new(bytes);
    let header = reader.header()?;
    if header.flags & (ANSWER | OPCODE) != 0 || header.questions > QUESTIONS_MAX {
        return None;
    }
    let mut found = None;
    for _ in 0..header.questions {
        let question = reader.question()?;
        if let Some(wanted) = wanted(&question, &identity.name) {
            found = found.or(Some((wanted, question)));
        }
    }
    let (wanted, question) = found?;
    if wanted != Wanted::Host && is_known(reader, header.records[0], wanted, &identity.name) {
        return None;
    }
    let legacy = port != MDNS_PORT;
    let asked = legacy.then_some((header.id, &question));
    let bytes = message(wanted, asked, identity, reach)?;
    let alone = legacy || question.class & HIGHEST != 0;
    Some(if alone { Answer::Unicast(bytes) } else { Answer::Multicast(bytes) })
}

fn wanted(question: &Question, name: &str) -> Option<Wanted> {
    if !matches!(question.class & !HIGHEST, INTERNET | ANY) {
        return None;
    }
    let is = |labels: &[&str]| question.name.split('.').eq(labels.iter().copied());
    let [mqtt, tcp, local] = SERVICE;
    match question.kind {
        PTR | ANY if is(&SERVICE) => Some(Wanted::Instance),
        PTR | ANY if is(&SERVICES) => Some(Wanted::Services),
        SRV | TXT | ANY if is(&[name, mqtt, tcp, local]) => Some(Wanted::Instance),
        A | ANY if is(&[name, local]) => Some(Wanted::Host),
        _ => None,
    }
}

/// Whether the asker has the PTR record, and will have it for half its time or longer (RFC 6762 §7.1).
fn is_known(mut reader: Reader<'_>, records: u16, wanted: Wanted, name: &str) -> bool {
    let [mqtt, tcp, local] = SERVICE;
    let data: &[&str] = if wanted == Wanted::Services { &SERVICE } else { &[name, mqtt, tcp, local] };
    for _ in 0..records.min(RECORDS_MAX) {
        let Some(record) = reader.record() else { return false };
        if record.kind == PTR
            && record.time_to_live >= OTHER_TIME / 2
            && reader.at(record.data).name().is_some_and(|name| name.split('.').eq(data.iter().copied()))
        {
            return true;
        }
    }
    false
}

/// One message with the records that are wanted; `asked` carries id and question back to an asker that is no multicast
/// DNS itself.
fn message(
    wanted: Wanted,
    asked: Option<(u16, &Question)>,
    identity: &Identity,
    reach: Reach,
) -> Option<Vec<u8>> {
    let IpAddr::V4(ip) = reach.ip else { return None };
    let mqtt = reach.mqtt?;
    let [service, tcp, local] = SERVICE;
    let (instance, host) = ([&*identity.name, service, tcp, local], [&*identity.name, local]);
    let records: u16 = if wanted == Wanted::Instance { 4 } else { 1 };

    let mut bytes = Vec::with_capacity(384);
    let (id, questions) = asked.map_or((0, 0), |(id, _)| (id, 1));
    for number in [id, ANSWER | AUTHORITATIVE, questions, records, 0, 0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    if let Some((_, question)) = asked {
        write_name(&mut bytes, &question.name.split('.').collect::<Vec<_>>());
        bytes.extend_from_slice(&question.kind.to_be_bytes());
        bytes.extend_from_slice(&(question.class & !HIGHEST).to_be_bytes());
    }
    let mut records = Records { bytes, legacy: asked.is_some() };
    match wanted {
        Wanted::Services => records.add(&SERVICES, PTR, Owner::Shared, &name(&SERVICE)),
        Wanted::Host => records.add(&host, A, Owner::Unique, &ip.octets()),
        Wanted::Instance => {
            records.add(&SERVICE, PTR, Owner::Shared, &name(&instance));
            // Priority and weight are 0: there is one host.
            let mut data = [[0; 4].as_slice(), &mqtt.to_be_bytes()].concat();
            write_name(&mut data, &host);
            records.add(&instance, SRV, Owner::Unique, &data);
            records.add(&instance, TXT, Owner::Unique, &text(identity, reach));
            records.add(&host, A, Owner::Unique, &ip.octets());
        }
    }
    Some(records.bytes)
}

/// Whether others may have a record of this name and type too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Shared,
    Unique,
}

struct Records {
    bytes: Vec<u8>,
    legacy: bool,
}

impl Records {
    fn add(&mut self, name: &[&str], kind: u16, owner: Owner, data: &[u8]) {
        write_name(&mut self.bytes, name);
        let class = if owner == Owner::Unique && !self.legacy { INTERNET | HIGHEST } else { INTERNET };
        let time = match kind {
            A | SRV => HOST_TIME,
            _ => OTHER_TIME,
        };
        let time = if self.legacy { time.min(LEGACY_TIME) } else { time };
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&class.to_be_bytes());
        self.bytes.extend_from_slice(&time.to_be_bytes());
        // No record has more than 300 bytes.
        self.bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
        self.bytes.extend_from_slice(data);
    }
}

fn name(labels: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_name(&mut bytes, labels);
    bytes
}

/// TXT data (RFC 6763 §6): version of the format first, then what the probe tells as well.
fn text(identity: &Identity, reach: Reach) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |text: &str| {
        bytes.push(u8::try_from(text.len()).unwrap_or_default());
        bytes.extend_from_slice(text.as_bytes());
    };
    add("txtvers=1");
    add(&mac_text(identity.mac));
    add(concat!("version=", env!("CARGO_PKG_VERSION")));
    add(&[String::from("role="), String::from(identity.role.word())].concat());
    if let Some(profile) = &identity.profile {
        add(&[String::from("profile="), profile.clone()].concat());
    }
    if let Some(port) = reach.websocket {
        add(&alloc::format!("websocket={port}"));
    }
    bytes
}
