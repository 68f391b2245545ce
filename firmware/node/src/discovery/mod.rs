//! Being found: answers to the project's own probe and to multicast DNS, and the announcement of a new address.
//!
//! A datagram in, at most one datagram out. What is said is what anybody in the network may know: name, MAC address,
//! version and ports. Answers go to addresses of private networks only, never more than [`ANSWERS`] in a second, and the
//! answer to a probe is never longer than the probe, so that nobody can make a device shout at somebody else.

mod mdns;
pub mod names;
pub mod probe;

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use espbroker_config::{
    image::Target,
    model::{Config, Role},
};

use crate::{Instant, interface::Output};

/// UDP port of multicast DNS.
pub const MDNS_PORT: u16 = 5353;
/// Group of multicast DNS (RFC 6762 §3).
pub const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// UDP port of the probe.
pub const PROBE_PORT: u16 = 18_830;

/// Most answers in [`WINDOW`].
pub const ANSWERS: u8 = 8;
/// Time in which [`ANSWERS`] are counted, and the least between two multicasts (RFC 6762 §6).
pub const WINDOW: Duration = Duration::from_secs(1);
/// How often a new address is announced, [`WINDOW`] apart (RFC 6762 §8.3).
const ANNOUNCEMENTS: u8 = 2;

/// Which UDP port a datagram came to, or is to be sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// [`PROBE_PORT`], with broadcasts.
    Probe,
    /// [`MDNS_PORT`], as a member of [`MDNS_GROUP`].
    Mdns,
}

impl Channel {
    /// The UDP port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Probe => PROBE_PORT,
            Self::Mdns => MDNS_PORT,
        }
    }
}

/// What never changes while the device runs.
#[derive(Debug)]
struct Identity {
    name: String,
    mac: [u8; 6],
    target: Target,
    role: Role,
    profile: Option<String>,
}

/// Where the broker can be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) ip: IpAddr,
    /// Port of MQTT over TCP.
    pub(crate) mqtt: Option<u16>,
    /// Port of MQTT over WebSocket.
    pub(crate) websocket: Option<u16>,
}

/// Answers while there is a network.
#[derive(Debug)]
pub(crate) struct Discovery {
    identity: Identity,
    reach: Option<Reach>,
    announcements: u8,
    announce_at: Instant,
    multicast_at: Instant,
    window: Instant,
    answered: u8,
}

impl Discovery {
    pub(crate) fn new(config: &Config, mac: [u8; 6], target: Target) -> Self {
        Self {
            identity: Identity {
                name: config.name.clone(),
                mac,
                target,
                role: config.role,
                profile: config.profile.as_ref().map(|profile| profile.id.clone()),
            },
            reach: None,
            announcements: 0,
            announce_at: Instant::ZERO,
            multicast_at: Instant::ZERO,
            window: Instant::ZERO,
            answered: 0,
        }
    }

    /// Takes where the broker can be reached, and announces what is new or due.
    pub(crate) fn follow(&mut self, reach: Option<Reach>, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.reach != reach {
            self.reach = reach;
            let announced = reach.is_some_and(|reach| reach.mqtt.is_some());
            self.announcements = if announced { ANNOUNCEMENTS } else { 0 };
            self.announce_at = now;
        }
        if let (Some(reach), 1..) = (self.reach, self.announcements)
            && now >= self.announce_at
        {
            self.announcements -= 1;
            self.announce_at = now + WINDOW;
            if let Some(bytes) = mdns::announcement(&self.identity, reach) {
                self.multicast(bytes, now, outputs);
            }
        }
    }

    /// When to announce.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        (self.announcements > 0).then_some(self.announce_at)
    }

    /// Answers one datagram, or does not.
    pub(crate) fn datagram(
        &mut self,
        channel: Channel,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        let Some(reach) = self.reach.filter(|_| is_near(from.ip())) else { return };
        if now.saturating_sub(self.window) >= WINDOW {
            self.window = now;
            self.answered = 0;
        }
        if self.answered >= ANSWERS {
            return;
        }
        match channel {
            Channel::Probe => {
                if let Some(bytes) = probe::answer(bytes, &self.identity, reach) {
                    self.answered += 1;
                    outputs.push_back(Output::Datagram { channel, to: from, bytes });
                }
            }
            Channel::Mdns => match mdns::answer(bytes, from.port(), &self.identity, reach) {
                Some(mdns::Answer::Unicast(bytes)) => {
                    self.answered += 1;
                    outputs.push_back(Output::Datagram { channel, to: from, bytes });
                }
                Some(mdns::Answer::Multicast(bytes)) if now >= self.multicast_at => {
                    self.multicast(bytes, now, outputs);
                }
                Some(mdns::Answer::Multicast(_)) | None => {}
            },
        }
    }

    fn multicast(&mut self, bytes: Vec<u8>, now: Instant, outputs: &mut VecDeque<Output>) {
        self.multicast_at = now + WINDOW;
        let to = SocketAddr::new(IpAddr::V4(MDNS_GROUP), MDNS_PORT);
        outputs.push_back(Output::Datagram { channel: Channel::Mdns, to, bytes });
    }
}

/// Whether an address is one that home networks use; the device does not know how long its network's prefix is.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests;
