//! [`PlugRole`]: carries levels and commands to the [`Plug`], and what it wants to pins, topics and status lines.
//!
//! The last state of the relays comes from two places: over a restart without a loss of power, from the outputs
//! themselves, which the platform has kept; else from the retained message of their topic, which the store has two
//! seconds after the last change at the latest, and which wears the flash no more than any other.

use alloc::collections::VecDeque;

use espbroker_config::model::Config;
use espbroker_plug::{Event, Level, Link, PinMode, Pins, Plug, Press, State, topic};

use crate::{Instant, interface::Output, online::say, server::Server, status::Status};

/// What the plug wants of the rest of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Its button was held: open the access point.
    AccessPoint,
}

/// The device as a plug.
#[derive(Debug)]
pub(crate) struct PlugRole {
    plug: Plug,
}

impl PlugRole {
    /// Settles the relays; `None` if the device is no plug, whose pins are given back then.
    pub(crate) fn start(
        config: &Config,
        kept: &Pins,
        server: &mut Server,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Self> {
        let last = |relay| {
            let (payload, _) = server.broker.retained_message(&topic::relay(&config.name, relay))?;
            State::from_word(payload)
        };
        let Some(plug) = Plug::start(config, kept, last, milliseconds(now)) else {
            for gpio in Pins::ALL.filter(|gpio| kept.level(*gpio).is_some()) {
                outputs.push_back(Output::Pin { gpio, mode: PinMode::Released });
            }
            return None;
        };
        server.broker.listen(&topic::commands(&config.name));
        let mut role = Self { plug };
        role.carry(server, now, outputs);
        server.retain(&topic::status(&config.name), "online", now, outputs);
        Some(role)
    }

    pub(crate) fn pin(&mut self, gpio: u8, level: Level, now: Instant) {
        self.plug.pin(gpio, level, milliseconds(now));
    }

    /// Does what came in and what is due.
    pub(crate) fn run(
        &mut self,
        server: &mut Server,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Wish> {
        while let Some(message) = server.broker.poll_own() {
            self.plug.command(&message.topic, &message.payload);
        }
        if self.plug.poll_at().is_some_and(|due| due <= milliseconds(now)) {
            self.plug.tick(milliseconds(now));
        }
        self.carry(server, now, outputs)
    }

    /// Takes how the device can be reached.
    pub(crate) fn link(&mut self, link: Link, now: Instant, outputs: &mut VecDeque<Output>) {
        self.plug.link(link, milliseconds(now));
        for event in self.plug.take_events() {
            if let Event::Pin { gpio, mode } = event {
                outputs.push_back(Output::Pin { gpio, mode });
            }
        }
    }

    /// Says that the plug is about to restart.
    pub(crate) fn leave(&mut self, server: &mut Server, now: Instant, outputs: &mut VecDeque<Output>) {
        server.retain(&topic::status(self.plug.name()), "offline", now, outputs);
        server.carry_out(outputs);
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.plug.poll_at().map(Instant::from_millis)
    }

    /// The state of each relay.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> {
        self.plug.relays().enumerate().map(|(relay, state)| self.status(relay, state))
    }

    fn status(&self, relay: usize, state: State) -> Status {
        let number = u8::try_from(relay + 1).unwrap_or(u8::MAX);
        Status::Relay { number, state, ignored: self.plug.ignored() }
    }

    fn carry(&mut self, server: &mut Server, now: Instant, outputs: &mut VecDeque<Output>) -> Option<Wish> {
        let mut wish = None;
        for event in self.plug.take_events() {
            match event {
                Event::Pin { gpio, mode } => outputs.push_back(Output::Pin { gpio, mode }),
                Event::Relay { relay, state } => {
                    say(outputs, &self.status(relay, state));
                    server.retain(&topic::relay(self.plug.name(), relay), state.word(), now, outputs);
                }
                Event::Button(press) => {
                    if press == Press::Long {
                        wish = Some(Wish::AccessPoint);
                    }
                    server.publish(&topic::button(self.plug.name()), press.word(), now, outputs);
                }
            }
        }
        wish
    }
}

fn milliseconds(now: Instant) -> u64 {
    now.as_secs() * 1000 + u64::from(now.subsec_millis())
}
