//! [`Link`]: when a bridge opens, greets, pings and gives up its connection to the other broker.
//!
//! A state machine without network and session: it is told what happened ([`Event`]), answers what is to be done
//! ([`Step`]), says when it wants to be asked again, and knows how the bridge is doing ([`BridgeState`]).

use espbroker_mqtt::ConnectReturnCode;

use crate::{
    bridge::{
        backoff::Backoff,
        level::{BridgeBit, Level},
        settings::BridgeSettings,
        state::{BridgeFailure, BridgeState},
    },
    event::OpenFailure,
    time::Instant,
};

/// Milliseconds for finding the host and connecting over TCP. lwIP alone would go on for more than a minute.
const OPEN_TIME: u64 = 30_000;

/// Milliseconds from the open connection until its CONNACK.
const CONNACK_TIME: u64 = 20_000;

/// Milliseconds that a link must have been up to count as one that works; mosquitto's `stable`, which is 0 there. A
/// broker that accepts the bridge and throws it out at once is not asked faster and faster.
const STABLE_TIME: u64 = 30_000;

/// Something that happened to a bridge's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passed; due at [`Link::poll_at`].
    Tick,
    /// The connection is there.
    Opened,
    /// It could not be opened.
    OpenFailed(OpenFailure),
    /// CONNACK came.
    Connack(ConnectReturnCode),
    /// CONNACK came, and there is no memory for the link.
    NoMemory,
    /// SUBACK came.
    Suback {
        /// Subscriptions that it refuses.
        refused: u8,
    },
    /// Any other packet came.
    Heard,
    /// It has shown that the other broker accepts the bridge bit and pays no attention to it.
    FoundOut,
    /// Any packet but a PINGREQ was sent.
    Sent,
    /// Bytes came that are not MQTT, or a packet that a server does not send or not now.
    Violated,
    /// The connection ended.
    Closed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Open a connection; answered by [`Event::Opened`] or [`Event::OpenFailed`].
    Open,
    /// Give up the opening; no answer is wanted.
    Abandon,
    /// Send CONNECT on the new connection.
    Connect(Level),
    /// The link is up: send the notification, the SUBSCRIBEs, and what waits.
    Greet,
    /// Send PINGREQ.
    Ping,
    /// Close the connection that the event is about; [`Event::Closed`] is not wanted.
    Close,
}

/// The connection of one bridge, from one attempt to the next.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    phase: Phase,
    backoff: Backoff,
    bit: BridgeBit,
    /// Milliseconds; 0 for none.
    keep_alive: u64,
    state: BridgeState,
    told: Option<BridgeState>,
    refused_subscriptions: u8,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle { until: Instant },
    Opening { until: Instant },
    Connecting { until: Instant },
    Up { since: Instant, heard: Instant, sent: Instant, ping: Option<Instant> },
    Never,
}

impl Link {
    /// A link that wants to be opened at once. Give each bridge and device its own `seed`.
    pub(crate) fn new(settings: &BridgeSettings, seed: u64, now: Instant) -> Self {
        let (phase, state) = if settings.tls {
            (Phase::Never, BridgeState::Failed(BridgeFailure::TlsNotSupported))
        } else {
            (Phase::Idle { until: now }, BridgeState::Connecting)
        };
        Self {
            phase,
            backoff: Backoff::new(settings, seed),
            bit: BridgeBit::new(if settings.try_private { Level::Private } else { Level::Plain }),
            keep_alive: 1000 * u64::from(settings.keep_alive),
            state,
            told: None,
            refused_subscriptions: 0,
        }
    }

    /// How the bridge is doing.
    pub(crate) const fn state(&self) -> BridgeState {
        self.state
    }

    /// How the bridge is doing, if that is not what this returned the last time.
    pub(crate) fn news(&mut self) -> Option<BridgeState> {
        let told = self.told.replace(self.state);
        (told != self.told).then_some(self.state)
    }

    /// Was [`Step::Open`] the last step.
    pub(crate) const fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. })
    }

    /// Subscriptions that the other broker has refused since the link is up; at most 255.
    pub(crate) const fn refused_subscriptions(&self) -> u8 {
        self.refused_subscriptions
    }

    /// When [`Event::Tick`] is due; `None` for not at all.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle { until } | Phase::Opening { until } | Phase::Connecting { until } => Some(until),
            Phase::Up { ping: Some(deadline), .. } => Some(deadline),
            Phase::Up { .. } if self.keep_alive == 0 => None,
            // MQTT 3.1.1 §3.1.2.10 asks for something sent; that something is heard shows that the way back works.
            Phase::Up { heard, sent, .. } => Some(heard.min(sent).after(self.keep_alive)),
            Phase::Never => None,
        }
    }

    /// Takes note of `event` and says what is to be done about it. Events that no longer matter are ignored.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Option<Step> {
        match event {
            Event::Tick => self.tick(now),
            Event::Opened => {
                if !matches!(self.phase, Phase::Opening { .. }) {
                    // Too late: given up, or begun anew.
                    return Some(Step::Close);
                }
                self.phase = Phase::Connecting { until: now.after(CONNACK_TIME) };
                Some(Step::Connect(self.bit.level()))
            }
            Event::OpenFailed(failure) => {
                if matches!(self.phase, Phase::Opening { .. }) {
                    self.fail(failure.into(), now);
                }
                None
            }
            Event::Connack(code) => self.connack(code, now),
            Event::NoMemory => {
                if !matches!(self.phase, Phase::Connecting { .. }) {
                    return self.end(BridgeFailure::ProtocolViolated, now);
                }
                // The other broker has answered, so that the bridge bit is not to blame.
                self.bit.answered();
                self.fail(BridgeFailure::NotOpened, now);
                Some(Step::Close)
            }
            Event::Suback { refused } => {
                self.refused_subscriptions = self.refused_subscriptions.saturating_add(refused);
                self.heard(now)
            }
            Event::Heard => self.heard(now),
            Event::FoundOut => {
                self.bit = BridgeBit::new(Level::Plain);
                if let BridgeState::Connected { private } = &mut self.state {
                    *private = false;
                }
                None
            }
            Event::Sent => {
                if let Phase::Up { sent, .. } = &mut self.phase {
                    *sent = now;
                }
                None
            }
            Event::Violated => self.end(BridgeFailure::ProtocolViolated, now),
            Event::Closed => {
                let failure = match self.phase {
                    Phase::Up { .. } => BridgeFailure::ConnectionLost,
                    _ => BridgeFailure::ClosedBeforeConnack,
                };
                self.end(failure, now);
                None
            }
        }
    }

    fn tick(&mut self, now: Instant) -> Option<Step> {
        if self.poll_at().is_none_or(|due| due > now) {
            return None;
        }
        match &mut self.phase {
            Phase::Idle { .. } => {
                self.phase = Phase::Opening { until: now.after(OPEN_TIME) };
                Some(Step::Open)
            }
            Phase::Opening { .. } => {
                self.fail(BridgeFailure::TimedOut, now);
                Some(Step::Abandon)
            }
            Phase::Up { ping: ping @ None, sent, .. } => {
                *ping = Some(now.after(self.keep_alive / 2));
                *sent = now;
                Some(Step::Ping)
            }
            Phase::Connecting { .. } | Phase::Up { .. } => self.end(BridgeFailure::TimedOut, now),
            Phase::Never => None,
        }
    }

    fn connack(&mut self, code: ConnectReturnCode, now: Instant) -> Option<Step> {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return self.end(BridgeFailure::ProtocolViolated, now);
        }
        match BridgeFailure::from_code(code) {
            None => {
                self.state = BridgeState::Connected { private: self.bit.level() == Level::Private };
                self.bit.answered();
                self.refused_subscriptions = 0;
                self.phase = Phase::Up { since: now, heard: now, sent: now, ping: None };
                return Some(Step::Greet);
            }
            // No failure yet: the next attempt has a level that every broker knows.
            Some(BridgeFailure::ProtocolRefused) if self.bit.refused() => self.wait(now),
            Some(failure) => {
                if failure != BridgeFailure::ProtocolRefused {
                    self.bit.answered();
                }
                self.fail(failure, now);
            }
        }
        Some(Step::Close)
    }

    fn heard(&mut self, now: Instant) -> Option<Step> {
        match &mut self.phase {
            Phase::Up { heard, ping, .. } => {
                *heard = now;
                *ping = None;
                None
            }
            // MQTT 3.1.1 §3.2: the first packet from the server is CONNACK.
            _ => self.end(BridgeFailure::ProtocolViolated, now),
        }
    }

    /// The open connection is of no use any more.
    fn end(&mut self, failure: BridgeFailure, now: Instant) -> Option<Step> {
        match self.phase {
            Phase::Connecting { .. } => {
                // Perhaps the bridge bit was to blame, so the failure is the bridge's only if the next attempt fails.
                if self.bit.unanswered() { self.wait(now) } else { self.fail(failure, now) }
            }
            Phase::Up { since, .. } => {
                if since.after(STABLE_TIME) <= now {
                    self.backoff.reset();
                }
                self.fail(failure, now);
            }
            Phase::Idle { .. } | Phase::Opening { .. } | Phase::Never => return None,
        }
        Some(Step::Close)
    }

    fn fail(&mut self, failure: BridgeFailure, now: Instant) {
        self.state = BridgeState::Failed(failure);
        if failure.is_lasting() {
            self.phase = Phase::Idle { until: self.backoff.late(now) };
        } else {
            self.wait(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        self.phase = Phase::Idle { until: self.backoff.soon(now) };
    }
}

#[cfg(test)]
mod tests;
