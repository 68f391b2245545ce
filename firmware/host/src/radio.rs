//! The radio: what joins networks and opens the access point.
//!
//! On a host there is none. [`Wired`] says that every network is joined at once; the virtual device brings its own
//! with simulated networks. Whatever a radio says, clients come over the host's real sockets.

use std::{collections::VecDeque, net::IpAddr};

use espbroker_node::{Instant, RadioCommand, StationEvent};

/// What a radio reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RadioEvent {
    /// Of the station.
    Station(StationEvent),
    /// The access point is open.
    AccessPointUp {
        /// The device's address in it.
        ip: IpAddr,
    },
}

/// A radio that is told the time, as everything else in the device is: the time since the device started.
pub trait Radio: Send {
    /// Starts to do as told; what comes of it is said by later events. A new command replaces what has not come true.
    fn command(&mut self, command: RadioCommand, now: Instant);

    /// The next event that is due.
    fn poll(&mut self, now: Instant) -> Option<RadioEvent>;

    /// When the next event is due; `None` if only a command brings one, or somebody who wakes the device up with
    /// [`Running::wake`](crate::Running::wake).
    fn poll_at(&self) -> Option<Instant>;
}

/// No radio: every join succeeds at once, and the address is the one that clients connect to.
#[derive(Debug)]
pub struct Wired {
    address: IpAddr,
    events: VecDeque<RadioEvent>,
}

impl Wired {
    /// A connection whose address is `address`.
    pub const fn new(address: IpAddr) -> Self {
        Self { address, events: VecDeque::new() }
    }
}

impl Radio for Wired {
    fn command(&mut self, command: RadioCommand, _: Instant) {
        let ip = self.address;
        match command {
            RadioCommand::Join(_) => {
                let joined = StationEvent::Associated { channel: 0, rssi: 0 };
                let addressed = StationEvent::Address { ip };
                self.events.extend([joined, addressed].map(RadioEvent::Station));
            }
            RadioCommand::OpenAccessPoint { .. } => self.events.push_back(RadioEvent::AccessPointUp { ip }),
            RadioCommand::Leave => self.events.retain(|event| !matches!(event, RadioEvent::Station(_))),
            RadioCommand::CloseAccessPoint => {
                self.events.retain(|event| !matches!(event, RadioEvent::AccessPointUp { .. }));
            }
        }
    }

    fn poll(&mut self, _: Instant) -> Option<RadioEvent> {
        self.events.pop_front()
    }

    fn poll_at(&self) -> Option<Instant> {
        (!self.events.is_empty()).then_some(Instant::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use espbroker_config::model::Wifi;

    use super::*;

    #[test]
    fn what_is_taken_back_is_not_reported_and_the_rest_is() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let now = Instant::ZERO;
        let open = || RadioCommand::OpenAccessPoint { ssid: b"ap".to_vec(), passphrase: None };
        let mut radio = Wired::new(ip);
        radio.command(RadioCommand::Join(Wifi::new("net")), now);
        radio.command(open(), now);
        radio.command(RadioCommand::Leave, now);
        assert_eq!(radio.poll_at(), Some(now));
        assert_eq!(radio.poll(now), Some(RadioEvent::AccessPointUp { ip }));
        assert_eq!((radio.poll(now), radio.poll_at()), (None, None));

        radio.command(open(), now);
        radio.command(RadioCommand::Join(Wifi::new("net")), now);
        radio.command(RadioCommand::CloseAccessPoint, now);
        let joined = StationEvent::Associated { channel: 0, rssi: 0 };
        assert_eq!(radio.poll(now), Some(RadioEvent::Station(joined)));
        assert_eq!(radio.poll(now), Some(RadioEvent::Station(StationEvent::Address { ip })));
        assert_eq!(radio.poll(now), None);
    }
}
