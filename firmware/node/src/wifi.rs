//! The station: joining the configured network, what a failure means, and when to try again.
//!
//! ```text
//! start -> Joining --associated--> Addressing --address--> Up
//!            |  ^                      |                    | lost
//!     failed |  +---- pause over ------|--- Waiting         +-> Joining, attempt 1
//!            +-------------------------+------^
//! ```
//!
//! The radio is told to leave after each failure, so that nothing but this machine decides about the next attempt.
//! Pauses double from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`]. Events that do not fit the state (the SDK repeats some) are
//! ignored. Left out: roaming between access points, which the SDK does by itself where it can.

use alloc::vec::Vec;
use core::{net::IpAddr, time::Duration};

use espbroker_config::model::Wifi;

use crate::{
    Instant,
    status::{WifiReason, WifiState},
};

/// Longest wait for the radio to associate. Scan and four-way handshake take 3 s, with a weak signal 8-10 s.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for an address once associated; DHCP repeats a lost request after 4 s and 8 s (RFC 2131 §4.1).
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(15);
/// Between the first failure and the second attempt.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between later attempts.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// What the radio reports of the station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationEvent {
    /// The access point has let the station in.
    Associated {
        /// 1-14, or 0 where there is no radio.
        channel: u8,
        /// dBm.
        rssi: i8,
    },
    /// Not, or no longer, associated.
    Disconnected {
        /// IEEE 802.11 reason code, or the SDK's own from 200 on.
        code: u16,
    },
    /// The address is usable, given by DHCP or set from the join request.
    Address {
        /// Own address.
        ip: IpAddr,
    },
}

/// What the station wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationOutput {
    /// Start joining; any earlier attempt has been ended by [`StationOutput::Leave`] or by the radio.
    Join(Wifi),
    /// Stop trying and leave.
    Leave,
    /// Tell the user.
    Report(WifiState),
    /// The station can be reached, or its address has changed.
    Up(IpAddr),
    /// The station can no longer be reached.
    Down,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Joining { until: Instant },
    Addressing { until: Instant },
    Up { ip: IpAddr },
    Waiting { until: Instant },
}

/// The station's state machine.
#[derive(Debug)]
pub struct Station {
    network: Wifi,
    state: State,
    /// What the last report said, for the console.
    report: WifiState,
    attempt: u32,
    /// The last attempt ended with "authentication expired", which alone says little.
    expired: bool,
    down_since: Instant,
}

impl Station {
    /// Starts the first attempt to join `network`.
    pub fn start(network: Wifi, now: Instant, outputs: &mut Vec<StationOutput>) -> Self {
        let report = WifiState::Joining { ssid: network.ssid.clone(), attempt: 1 };
        let state = State::Joining { until: now + JOIN_TIMEOUT };
        let mut station = Self { network, state, report, attempt: 0, expired: false, down_since: now };
        station.join(now, outputs);
        station
    }

    /// Takes what the radio reports.
    pub fn handle(&mut self, event: StationEvent, now: Instant, outputs: &mut Vec<StationOutput>) {
        match (event, self.state) {
            (StationEvent::Associated { channel, rssi }, State::Joining { .. }) => {
                self.state = State::Addressing { until: now + ADDRESS_TIMEOUT };
                self.report(WifiState::Joined { channel, rssi }, outputs);
            }
            (StationEvent::Address { ip }, State::Addressing { .. }) => {
                self.state = State::Up { ip };
                self.attempt = 0;
                self.expired = false;
                outputs.push(StationOutput::Up(ip));
            }
            (StationEvent::Address { ip }, State::Up { ip: known }) if ip != known => {
                self.state = State::Up { ip };
                outputs.push(StationOutput::Up(ip));
            }
            (StationEvent::Disconnected { code }, State::Joining { .. } | State::Addressing { .. }) => {
                let reason = match (reason_of(code), code) {
                    // Sent also when the passphrase is right and a frame was lost: believed the second time.
                    (WifiReason::Other, AUTHENTICATION_EXPIRED) if self.expired => {
                        WifiReason::WrongPassphrase
                    }
                    (reason, _) => reason,
                };
                self.expired = code == AUTHENTICATION_EXPIRED;
                self.fail(reason, code, now, outputs);
            }
            (StationEvent::Disconnected { code }, State::Up { .. }) => {
                self.down_since = now;
                self.report(WifiState::Lost { reason: reason_of(code), code }, outputs);
                outputs.push(StationOutput::Down);
                outputs.push(StationOutput::Leave);
                self.join(now, outputs);
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant, outputs: &mut Vec<StationOutput>) {
        match self.state {
            State::Joining { until } if now >= until => {
                self.expired = false;
                self.fail(WifiReason::NoAnswer, 0, now, outputs);
            }
            State::Addressing { until } if now >= until => {
                self.fail(WifiReason::NoAddress, 0, now, outputs);
            }
            State::Waiting { until } if now >= until => self.join(now, outputs),
            _ => {}
        }
    }

    /// When [`Station::poll`] has something to do; `None` waits for the radio only.
    pub const fn poll_at(&self) -> Option<Instant> {
        match self.state {
            State::Joining { until } | State::Addressing { until } | State::Waiting { until } => Some(until),
            State::Up { .. } => None,
        }
    }

    /// The address while the station can be reached.
    pub const fn address(&self) -> Option<IpAddr> {
        match self.state {
            State::Up { ip } => Some(ip),
            _ => None,
        }
    }

    /// Since when the station cannot be reached; `None` while it can.
    pub const fn down_since(&self) -> Option<Instant> {
        match self.state {
            State::Up { .. } => None,
            _ => Some(self.down_since),
        }
    }

    /// What was reported last.
    pub const fn last_report(&self) -> &WifiState {
        &self.report
    }

    fn join(&mut self, now: Instant, outputs: &mut Vec<StationOutput>) {
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Joining { until: now + JOIN_TIMEOUT };
        let mut request = self.network.clone();
        if self.attempt.is_multiple_of(2) {
            // The channel only speeds the join up; a router may have moved to another one since.
            request.channel = None;
        }
        let ssid = self.network.ssid.clone();
        self.report(WifiState::Joining { ssid, attempt: self.attempt }, outputs);
        outputs.push(StationOutput::Join(request));
    }

    fn fail(&mut self, reason: WifiReason, code: u16, now: Instant, outputs: &mut Vec<StationOutput>) {
        let doublings = self.attempt.saturating_sub(1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        self.state = State::Waiting { until: now + pause };
        self.report(WifiState::Failed { reason, code, attempt: self.attempt }, outputs);
        outputs.push(StationOutput::Leave);
    }

    fn report(&mut self, state: WifiState, outputs: &mut Vec<StationOutput>) {
        self.report = state.clone();
        outputs.push(StationOutput::Report(state));
    }
}

/// IEEE 802.11 §9.4.1.7 reason 2, which the SDK also gives for an authentication that got no reply.
const AUTHENTICATION_EXPIRED: u16 = 2;

/// What a disconnect code means on its own: IEEE 802.11 §9.4.1.7 below 200, the SDK's `user_interface.h` from there.
const fn reason_of(code: u16) -> WifiReason {
    match code {
        // Too many associated stations.
        5 => WifiReason::AccessPointFull,
        // Four-way handshake time-out, authentication failed, handshake time-out.
        15 | 202 | 204 => WifiReason::WrongPassphrase,
        // Beacon time-out.
        200 => WifiReason::SignalLost,
        // No access point found.
        201 => WifiReason::NetworkNotFound,
        _ => WifiReason::Other,
    }
}

#[cfg(test)]
mod tests;
