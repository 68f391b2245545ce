//! Finding devices in the network: the project's own probe and multicast DNS, asked from one socket for each interface.
//!
//! Answers are what somebody in the network says, and nothing more: whoever connects to one still has to log in. Left out:
//! IPv6, and asking on interfaces that are neither this computer's loopback, nor its default route's, nor named.

mod mdns;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use espbroker_flasher::cancel::Cancel;
use espbroker_node::discovery::{MDNS_GROUP, MDNS_PORT, PROBE_PORT, probe};
use serde::Serialize;
use socket2::SockRef;

use crate::{credentials, hex::to_hex};

/// When the questions are asked, from the beginning: datagrams get lost.
const ASK_AT: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000), Duration::from_millis(2000)];
/// How long to go on after the one that was looked for has answered, for another one of the same name.
const GRACE: Duration = Duration::from_millis(300);
/// Between two looks at the sockets.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a device that is asked alone may take.
pub(crate) const ALONE: Duration = Duration::from_millis(1500);

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoverError {
    #[error("cannot ask on the network of `{interface}`")]
    Socket {
        interface: Ipv4Addr,
        #[source]
        source: io::Error,
    },
    #[error("no device called `{name}` answers")]
    NotFound { name: String },
    #[error("`{name}` does not answer; it was last seen at {address}")]
    Away { name: String, address: String },
    #[error("several devices are called `{name}`: {}", macs.join(", "))]
    Several { name: String, macs: Vec<String> },
}

/// A broker that has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) host: IpAddr,
    /// Port of MQTT over TCP, while it is open.
    pub(crate) mqtt_port: Option<u16>,
    pub(crate) websocket_port: Option<u16>,
    /// Of an espbroker device; other brokers tell none.
    #[serde(serialize_with = "mac_as_text")]
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) firmware: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) profile: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde gives the field's reference")]
fn mac_as_text<S: serde::Serializer>(mac: &Option<[u8; 6]>, serializer: S) -> Result<S::Ok, S::Error> {
    match mac {
        Some(mac) => serializer.serialize_some(&to_hex(mac, ":")),
        None => serializer.serialize_none(),
    }
}

impl Found {
    fn of_device(device: &probe::Device, host: IpAddr) -> Self {
        Self {
            name: plain(&device.name),
            host,
            mqtt_port: device.mqtt,
            websocket_port: device.websocket,
            mac: Some(device.mac),
            firmware: Some(plain(&device.version)),
            role: device.role.map(|role| role.to_string()),
            profile: device.profile.as_deref().map(plain),
        }
    }

    /// Where the broker is, for people.
    pub(crate) fn address(&self) -> String {
        match self.mqtt_port {
            Some(port) => SocketAddr::new(self.host, port).to_string(),
            None => self.host.to_string(),
        }
    }
}

/// Text from the network without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Everybody in the networks of these addresses of this computer.
    Networks(Vec<Ipv4Addr>),
    /// One host, by the probe.
    Host(IpAddr),
}

impl Place {
    /// How long to go on once somebody who was wanted has answered.
    const fn grace(&self) -> Duration {
        match self {
            Self::Networks(_) => GRACE,
            Self::Host(_) => Duration::ZERO,
        }
    }

    /// Everybody in these networks; without any, in that of the default route and on this computer.
    pub(crate) fn networks(interfaces: &[Ipv4Addr]) -> Self {
        Self::Networks(match interfaces {
            [] => vec![Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST],
            given => given.to_vec(),
        })
    }
}

/// Asks for `patience`, and for little longer than it takes until one that is `wanted` has answered.
///
/// # Errors
///
/// When no socket can be had; a network that takes no question is only passed over when there is another one.
pub(crate) fn search(
    place: &Place,
    patience: Duration,
    cancel: &Cancel,
    wanted: &dyn Fn(&Found) -> bool,
) -> Result<Vec<Found>, DiscoverError> {
    let token = credentials::random::<8>().unwrap_or_default();
    let mut askers = Askers::open(place)?;
    let started = Instant::now();
    let mut deadline = started + patience;
    let mut due = ASK_AT.iter();
    let mut next = due.next();
    let mut found = Findings::default();
    let mut buffer = [0; 9000];
    loop {
        let now = Instant::now();
        if now >= deadline || cancel.is_cancelled() {
            return Ok(found.into_list());
        }
        if next.is_some_and(|at| now >= started + *at) {
            askers.ask(token);
            next = due.next();
        }
        let mut idle = true;
        while let Some((length, from)) = askers.receive(&mut buffer) {
            idle = false;
            let bytes = buffer.get(..length).unwrap_or_default();
            let before = found.count(wanted);
            match probe::read(bytes, token) {
                Some(device) => found.add(Found::of_device(&device, from.ip()), Source::Probe),
                None => {
                    mdns::read(bytes, from.ip())
                        .into_iter()
                        .for_each(|broker| found.add(broker, Source::Mdns));
                }
            }
            if before == 0 && found.count(wanted) > 0 {
                deadline = deadline.min(Instant::now() + place.grace());
            }
        }
        if idle {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Sockets that ask.
struct Askers(Vec<(UdpSocket, Vec<(SocketAddr, Question)>)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Probe,
    Mdns,
}

impl Askers {
    fn open(place: &Place) -> Result<Self, DiscoverError> {
        let all = match place {
            Place::Host(host) => {
                let to = vec![(SocketAddr::new(*host, PROBE_PORT), Question::Probe)];
                return Ok(Self(vec![(socket(Ipv4Addr::UNSPECIFIED)?, to)]));
            }
            Place::Networks(interfaces) => interfaces.iter().map(|&interface| {
                let broadcast = if interface.is_loopback() {
                    Ipv4Addr::new(127, 255, 255, 255)
                } else {
                    Ipv4Addr::BROADCAST
                };
                let to = vec![
                    (SocketAddr::from((broadcast, PROBE_PORT)), Question::Probe),
                    (SocketAddr::from((MDNS_GROUP, MDNS_PORT)), Question::Mdns),
                ];
                socket(interface).map(|socket| (socket, to))
            }),
        };
        let (opened, mut failed): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
        match (opened.is_empty(), failed.pop()) {
            (true, Some(Err(error))) => Err(error),
            _ => Ok(Self(opened.into_iter().flatten().collect())),
        }
    }

    /// A network that is not there takes no question; another one may.
    fn ask(&self, token: [u8; 8]) {
        for (socket, receivers) in &self.0 {
            for (to, question) in receivers {
                let bytes = match question {
                    Question::Probe => probe::question(token),
                    Question::Mdns => mdns::question(),
                };
                let _ = socket.send_to(&bytes, to);
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        for (socket, _) in &self.0 {
            loop {
                match socket.recv_from(buffer) {
                    Ok(received) => return Some(received),
                    // Nobody is at a port that was asked.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        None
    }
}

fn socket(interface: Ipv4Addr) -> Result<UdpSocket, DiscoverError> {
    let open = || {
        let socket = UdpSocket::bind((interface, 0))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        if !interface.is_unspecified() {
            SockRef::from(&socket).set_multicast_if_v4(&interface)?;
        }
        Ok(socket)
    };
    open().map_err(|source| DiscoverError::Socket { interface, source })
}

/// Who said it; the probe says more, and says it now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Probe,
    Mdns,
}

/// What was found, each broker once.
#[derive(Default)]
struct Findings(BTreeMap<(Option<[u8; 6]>, Option<SocketAddr>), Found>);

impl Findings {
    fn add(&mut self, found: Found, source: Source) {
        let place = found.mac.is_none().then(|| SocketAddr::new(found.host, found.mqtt_port.unwrap_or(0)));
        let key = (found.mac, place);
        if source == Source::Probe {
            self.0.insert(key, found);
        } else {
            self.0.entry(key).or_insert(found);
        }
    }

    fn count(&self, wanted: &dyn Fn(&Found) -> bool) -> usize {
        self.0.values().filter(|found| wanted(found)).count()
    }

    /// Devices first, by name.
    fn into_list(self) -> Vec<Found> {
        let mut list: Vec<Found> = self.0.into_values().collect();
        list.sort_by(|one, other| {
            (one.mac.is_none(), &one.name, one.mac, one.host).cmp(&(
                other.mac.is_none(),
                &other.name,
                other.mac,
                other.host,
            ))
        });
        list
    }
}

#[cfg(test)]
mod tests;
