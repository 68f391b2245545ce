//! The device's own access point: when it is open, and what it is called.
//!
//! The fallback opens when there is no network to join or the station has been down for [`FALLBACK_AFTER`], and
//! closes as soon as the station is up. The station goes on trying meanwhile: a router that was switched off comes
//! back without anybody's help. A plug's button asks for it for [`ASKED_FOR`], also while the station is up.

use alloc::{format, vec::Vec};
use core::{net::IpAddr, time::Duration};

use espbroker_config::{
    model::{AccessPoint as Settings, AccessPointPolicy},
    secret::Secret,
};

use crate::{
    Instant,
    interface::RadioCommand,
    status::{AccessPointState, Status},
    wifi::Station,
};

/// How long the station may be down before the fallback opens.
pub const FALLBACK_AFTER: Duration = Duration::from_secs(60);

/// How long the access point stays open when somebody has asked for it.
pub const ASKED_FOR: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Opening,
    Up { ip: IpAddr },
}

/// The access point's state machine.
#[derive(Debug)]
pub(crate) struct AccessPoint {
    policy: AccessPointPolicy,
    ssid: Vec<u8>,
    passphrase: Option<Secret<alloc::string::String>>,
    state: State,
    /// Somebody has asked for it to be open until then.
    asked_until: Option<Instant>,
}

impl AccessPoint {
    pub(crate) fn new(settings: &Settings, mac: [u8; 6]) -> Self {
        let [_, _, _, x, y, z] = mac;
        let ssid = settings.ssid.clone();
        Self {
            policy: settings.policy,
            ssid: ssid.unwrap_or_else(|| format!("espbroker-{x:02x}{y:02x}{z:02x}").into_bytes()),
            passphrase: settings.passphrase.clone(),
            state: State::Closed,
            asked_until: None,
        }
    }

    /// Has it open for [`ASKED_FOR`], unless the config forbids it altogether.
    pub(crate) fn ask(&mut self, now: Instant) {
        self.asked_until = Some(now + ASKED_FOR);
    }

    /// Opens or closes it if that is due.
    pub(crate) fn poll(&mut self, station: Option<&Station>, now: Instant) -> Option<RadioCommand> {
        match (self.is_wanted(station, now), self.state) {
            (true, State::Closed) => {
                self.state = State::Opening;
                let (ssid, passphrase) = (self.ssid.clone(), self.passphrase.clone());
                Some(RadioCommand::OpenAccessPoint { ssid, passphrase })
            }
            (false, State::Opening | State::Up { .. }) => {
                self.state = State::Closed;
                Some(RadioCommand::CloseAccessPoint)
            }
            _ => None,
        }
    }

    /// When [`AccessPoint::poll`] has something to do.
    pub(crate) fn poll_at(&self, station: Option<&Station>) -> Option<Instant> {
        match (self.policy, self.state) {
            (AccessPointPolicy::Fallback, State::Closed) => Some(station?.down_since()? + FALLBACK_AFTER),
            (AccessPointPolicy::Fallback, State::Opening | State::Up { .. }) => self.asked_until,
            _ => None,
        }
    }

    /// The radio has opened it. Returns whether that was wanted.
    pub(crate) fn opened(&mut self, ip: IpAddr) -> bool {
        let wanted = matches!(self.state, State::Opening);
        if wanted {
            self.state = State::Up { ip };
        }
        wanted
    }

    /// Whether it is open because somebody has asked for it.
    pub(crate) const fn is_asked_for(&self) -> bool {
        self.is_up() && self.asked_until.is_some()
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.ip().is_some()
    }

    /// The device's address in it, while it is open.
    pub(crate) const fn ip(&self) -> Option<IpAddr> {
        match self.state {
            State::Up { ip } => Some(ip),
            State::Closed | State::Opening => None,
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status::AccessPoint(match self.state {
            State::Up { ip } => AccessPointState::Up { ssid: self.ssid.clone(), ip },
            State::Closed | State::Opening => AccessPointState::Down,
        })
    }

    fn is_wanted(&mut self, station: Option<&Station>, now: Instant) -> bool {
        match self.policy {
            AccessPointPolicy::Always => true,
            AccessPointPolicy::Never => false,
            AccessPointPolicy::Fallback => {
                self.asked_until.take_if(|until| *until <= now);
                self.asked_until.is_some()
                    || station.is_none_or(|station| {
                        station.down_since().is_some_and(|since| now >= since + FALLBACK_AFTER)
                    })
            }
        }
    }
}
