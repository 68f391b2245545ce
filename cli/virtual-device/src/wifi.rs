//! [`SimulatedWifi`]: the networks around a virtual device, and the radio that joins them.
//!
//! Refusals carry the codes that the ESP8266's SDK reports: 201 when no access point has the name, and for a wrong
//! passphrase one of 15 (four-way handshake), 2 (authentication expired) or 202 (authentication failed), as real
//! access points differ in that. Joined or not, clients reach the device over the host's own sockets: the address that
//! it is given is the one that those are opened on, also where its config names a fixed one.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use espbroker_config::model::{Passphrase, Wifi};
use espbroker_config::secret::Secret;
use espbroker_host::{Radio, RadioEvent};
use espbroker_node::{Instant, RadioCommand, StationEvent};
use sha1::Sha1;

const NO_ACCESS_POINT: u16 = 201;
/// From association to an address.
const DHCP_TIME: Duration = Duration::from_millis(300);
const ACCESS_POINT_TIME: Duration = Duration::from_millis(100);
/// Rounds of the key derivation from a passphrase (IEEE 802.11 annex J.4).
const KEY_ROUNDS: u32 = 4096;

/// Everything in radio range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedWifi {
    /// Access points, strongest first.
    pub networks: Vec<Network>,
    /// From the order to join to its success or refusal.
    pub join_delay: Duration,
}

impl Default for SimulatedWifi {
    /// No network at all; a join takes 2 s.
    fn default() -> Self {
        Self { networks: Vec::new(), join_delay: Duration::from_secs(2) }
    }
}

/// One access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// 1-32 bytes.
    pub ssid: Vec<u8>,
    /// `None` is an open network.
    pub passphrase: Option<Passphrase>,
    /// 1-14.
    pub channel: u8,
    /// dBm.
    pub rssi: i8,
    /// Does not announce its name: only who asks for it finds it.
    pub hidden: bool,
    /// Whether it hands out addresses.
    pub dhcp: Dhcp,
    /// How it refuses a wrong passphrase.
    pub refusal: Refusal,
}

impl Network {
    /// A WPA2 network on channel 6 with a good signal.
    pub fn new(ssid: impl Into<Vec<u8>>, passphrase: impl Into<String>) -> Self {
        Self {
            ssid: ssid.into(),
            passphrase: Some(Passphrase::Text(Secret::new(passphrase.into()))),
            channel: 6,
            rssi: -51,
            hidden: false,
            dhcp: Dhcp::Answer,
            refusal: Refusal::HandshakeTimeout,
        }
    }

    /// Whether a station with these credentials is let in.
    fn accepts(&self, passphrase: Option<&Passphrase>) -> bool {
        match (&self.passphrase, passphrase) {
            (None, None) => true,
            (Some(Passphrase::Text(right)), Some(Passphrase::Text(given))) => right == given,
            (Some(right), Some(given)) => self.key(right) == self.key(given),
            _ => false,
        }
    }

    /// The pairwise master key (IEEE 802.11 annex J.4).
    fn key(&self, passphrase: &Passphrase) -> [u8; 32] {
        match passphrase {
            Passphrase::Key(key) => *key.expose(),
            Passphrase::Text(text) => {
                let mut key = [0; 32];
                pbkdf2::pbkdf2_hmac::<Sha1>(text.expose().as_bytes(), &self.ssid, KEY_ROUNDS, &mut key);
                key
            }
        }
    }
}

/// Whether a network hands out addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// It does.
    Answer,
    /// It lets stations in and leaves them without one.
    Silent,
}

/// What the SDK reports when the passphrase is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Refusal {
    /// "Authentication expired".
    AuthenticationExpired = 2,
    /// "Four-way handshake timeout".
    HandshakeTimeout = 15,
    /// "Authentication failed".
    AuthenticationFailed = 202,
}

/// The device's radio among those networks.
#[derive(Debug)]
pub(crate) struct SimulatedRadio {
    wifi: SimulatedWifi,
    address: IpAddr,
    events: VecDeque<(Instant, RadioEvent)>,
}

impl SimulatedRadio {
    pub(crate) const fn new(wifi: SimulatedWifi, address: IpAddr) -> Self {
        Self { wifi, address, events: VecDeque::new() }
    }

    fn join(&mut self, wanted: &Wifi, now: Instant) {
        let at = now + self.wifi.join_delay;
        let found = self.wifi.networks.iter().find(|network| {
            network.ssid == wanted.ssid
                && (wanted.hidden || !network.hidden)
                && wanted.channel.is_none_or(|channel| channel == network.channel)
        });
        let mut station = |at, event| self.events.push_back((at, RadioEvent::Station(event)));
        match found {
            None => station(at, StationEvent::Disconnected { code: NO_ACCESS_POINT }),
            Some(network) if !network.accepts(wanted.passphrase.as_ref()) => {
                station(at, StationEvent::Disconnected { code: network.refusal as u16 });
            }
            Some(network) => {
                station(at, StationEvent::Associated { channel: network.channel, rssi: network.rssi });
                let address = StationEvent::Address { ip: self.address };
                match (&wanted.ipv4, network.dhcp) {
                    (Some(_), _) => station(at, address),
                    (None, Dhcp::Answer) => station(at + DHCP_TIME, address),
                    (None, Dhcp::Silent) => {}
                }
            }
        }
    }
}

impl Radio for SimulatedRadio {
    fn command(&mut self, command: RadioCommand, now: Instant) {
        let (ip, of_station) = (self.address, |event: &RadioEvent| matches!(event, RadioEvent::Station(_)));
        match command {
            RadioCommand::Join(wanted) => {
                self.events.retain(|(_, event)| !of_station(event));
                self.join(&wanted, now);
            }
            RadioCommand::Leave => self.events.retain(|(_, event)| !of_station(event)),
            RadioCommand::OpenAccessPoint { .. } => {
                self.events.push_back((now + ACCESS_POINT_TIME, RadioEvent::AccessPointUp { ip }));
            }
            RadioCommand::CloseAccessPoint => self.events.retain(|(_, event)| of_station(event)),
        }
        self.events.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn poll(&mut self, now: Instant) -> Option<RadioEvent> {
        self.events.pop_front_if(|(at, _)| *at <= now).map(|(_, event)| event)
    }

    fn poll_at(&self) -> Option<Instant> {
        self.events.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn events(network: Network, wanted: Wifi) -> Vec<(u128, StationEvent)> {
        let wifi = SimulatedWifi { networks: vec![network], join_delay: Duration::from_millis(50) };
        let mut radio = SimulatedRadio::new(wifi, IpAddr::V4(Ipv4Addr::LOCALHOST));
        radio.command(RadioCommand::Join(wanted), Duration::from_millis(1000));
        let mut events = Vec::new();
        while let Some(at) = radio.poll_at() {
            assert_eq!(radio.poll(at - Duration::from_nanos(1)), None);
            if let Some(RadioEvent::Station(event)) = radio.poll(at) {
                events.push((at.as_millis(), event));
            }
        }
        events
    }

    fn wanted(passphrase: &str) -> Wifi {
        let mut wifi = Wifi::new("demo");
        wifi.passphrase = Some(Passphrase::Text(Secret::new(passphrase.to_owned())));
        wifi
    }

    #[test]
    fn the_right_passphrase_joins_and_gets_an_address_unless_dhcp_is_silent() {
        let joined = (1050, StationEvent::Associated { channel: 6, rssi: -51 });
        let address = StationEvent::Address { ip: IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let network = Network::new("demo", "right-password");
        assert_eq!(events(network.clone(), wanted("right-password")), [joined, (1350, address)]);
        let silent = Network { dhcp: Dhcp::Silent, ..network };
        assert_eq!(events(silent, wanted("right-password")), [joined]);
    }

    #[test]
    fn a_wrong_passphrase_an_unknown_name_and_a_hidden_network_are_refused_by_their_codes() {
        let network = Network::new("demo", "right-password");
        for refusal in
            [Refusal::AuthenticationExpired, Refusal::HandshakeTimeout, Refusal::AuthenticationFailed]
        {
            let network = Network { refusal, ..network.clone() };
            let refused = StationEvent::Disconnected { code: refusal as u16 };
            assert_eq!(events(network.clone(), wanted("wrong-password")), [(1050, refused)]);
            assert_eq!(events(network, Wifi::new("demo")), [(1050, refused)]);
        }
        let missing = (1050, StationEvent::Disconnected { code: 201 });
        assert_eq!(events(network.clone(), Wifi::new("other")), [missing]);
        let hidden = Network { hidden: true, ..network };
        assert_eq!(events(hidden.clone(), wanted("right-password")), [missing]);
        let asked_for = Wifi { hidden: true, ..wanted("right-password") };
        assert_eq!(events(hidden, asked_for).len(), 2);
    }

    #[test]
    fn the_key_of_the_standards_test_vector_opens_its_network() {
        // IEEE 802.11 annex J.4.2: passphrase "password", SSID "IEEE".
        let key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&key[2 * index..2 * index + 2], 16).unwrap();
        }
        let network = Network::new("IEEE", "password");
        assert!(network.accepts(Some(&Passphrase::Key(Secret::new(bytes)))));
        bytes[0] ^= 1;
        assert!(!network.accepts(Some(&Passphrase::Key(Secret::new(bytes)))));
    }

    #[test]
    fn leaving_takes_back_what_has_not_come_true_but_not_the_access_point() {
        let mut radio = SimulatedRadio::new(SimulatedWifi::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        radio.command(RadioCommand::Join(Wifi::new("x")), Duration::ZERO);
        radio.command(
            RadioCommand::OpenAccessPoint { ssid: b"ap".to_vec(), passphrase: None },
            Duration::ZERO,
        );
        radio.command(RadioCommand::Leave, Duration::ZERO);
        assert_eq!(radio.poll_at(), Some(ACCESS_POINT_TIME));
        radio.command(RadioCommand::CloseAccessPoint, Duration::ZERO);
        assert_eq!(radio.poll_at(), None);
    }
}
