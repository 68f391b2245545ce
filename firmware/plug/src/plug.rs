//! [`Plug`]: relays and what switches them.

use alloc::{string::String, vec::Vec};

use espbroker_config::model::{Config, LedUse, Pin, PinFunction, PowerOn, Role};

use crate::{
    Instant,
    contact::Contact,
    light::Link,
    pins::{Level, PinMode, Pins, State},
    topic,
};

/// How long a button is held for a long press, milliseconds.
const LONG: u64 = 5000;

/// What the plug wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Make a pin what it is to be.
    Pin {
        /// GPIO number.
        gpio: u8,
        /// What it is to be.
        mode: PinMode,
    },
    /// Tell the state of a relay, under [`topic::relay`].
    Relay {
        /// From 0 on.
        relay: usize,
        /// Its state now.
        state: State,
    },
    /// Tell of a button, under [`topic::button`]. A long press asks for the access point.
    Button(Press),
}

/// How a button was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// For less than five seconds.
    Short,
    /// For five seconds or more; told as soon as they are over.
    Long,
}

impl Press {
    /// As in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// A plug. After every call, [`Plug::take_events`] has what it wants.
#[derive(Debug)]
pub struct Plug {
    name: String,
    relays: Vec<Relay>,
    contacts: Vec<Switch>,
    /// LEDs that show the first relay.
    relay_leds: Vec<Pin>,
    status_leds: Vec<Pin>,
    led_use: LedUse,
    link: Link,
    /// What the status LEDs show, and when that changes.
    shown: Option<(State, Option<Instant>)>,
    events: Vec<Event>,
    ignored: u32,
}

#[derive(Debug)]
struct Relay {
    pin: Pin,
    state: State,
}

/// A contact and the relay that it switches.
#[derive(Debug)]
struct Switch {
    contact: Contact,
    /// Or the first one, if there is none of this number.
    relay: usize,
    /// While a button is held and not for long: since when.
    held: Option<Instant>,
}

impl Plug {
    /// The plug that a config describes; `None` for a device that is none.
    ///
    /// `kept` are the outputs that a restart without a loss of power has left as they were. Where there are none, the
    /// config says what the relays begin with; `last` gives the last known state of each.
    pub fn start(
        config: &Config,
        kept: &Pins,
        last: impl Fn(usize) -> Option<State>,
        now: Instant,
    ) -> Option<Self> {
        let pins = &config.profile.as_ref().filter(|_| config.role != Role::Broker)?.pins;
        let mut plug = Self {
            name: config.name.clone(),
            relays: Vec::new(),
            contacts: Vec::new(),
            relay_leds: Vec::new(),
            status_leds: Vec::new(),
            led_use: config.plug.led,
            link: Link::Joining,
            shown: None,
            events: Vec::new(),
            ignored: 0,
        };
        let (mut buttons, mut switches) = (0, 0);
        for &pin in pins {
            match pin.function {
                PinFunction::Relay => {
                    let state = match (kept.level(pin.gpio), config.plug.power_on) {
                        (Some(level), _) => level.state(pin),
                        (None, PowerOn::Off) => State::Off,
                        (None, PowerOn::On) => State::On,
                        (None, PowerOn::Last) => last(plug.relays.len()).unwrap_or(State::Off),
                    };
                    plug.relays.push(Relay { pin, state });
                }
                PinFunction::Button => plug.add_contact(pin, &mut buttons),
                PinFunction::Switch => plug.add_contact(pin, &mut switches),
                PinFunction::RelayLed => plug.relay_leds.push(pin),
                PinFunction::Led => plug.status_leds.push(pin),
                PinFunction::MeterCf
                | PinFunction::MeterCf1
                | PinFunction::MeterSel
                | PinFunction::MeterRx => {}
            }
        }
        if plug.relays.is_empty() {
            return None;
        }
        for relay in 0..plug.relays.len() {
            plug.apply(relay);
        }
        plug.show(now);
        for switch in &plug.contacts {
            plug.events.push(Event::Pin { gpio: switch.contact.pin.gpio, mode: PinMode::Watched });
        }
        // Another config may have had an output where this one has nothing.
        for gpio in Pins::ALL {
            if kept.level(gpio).is_some()
                && !pins.iter().any(|pin| pin.gpio == gpio && !is_meter(pin.function))
            {
                plug.events.push(Event::Pin { gpio, mode: PinMode::Released });
            }
        }
        Some(plug)
    }

    fn add_contact(&mut self, pin: Pin, number: &mut usize) {
        self.contacts.push(Switch { contact: Contact::new(pin), relay: *number, held: None });
        *number += 1;
    }

    /// Takes the level of a pin that is watched; any other is ignored.
    pub fn pin(&mut self, gpio: u8, level: Level, now: Instant) {
        for switch in self.contacts.iter_mut().filter(|switch| switch.contact.pin.gpio == gpio) {
            switch.contact.set(level, now);
        }
        self.tick(now);
    }

    /// Takes a message under one of [`topic::commands`]; what is no command is counted.
    pub fn command(&mut self, topic: &str, payload: &[u8]) {
        let relay = topic::relay_of(&self.name, topic);
        let found = relay.and_then(|relay| Some((relay, self.relays.get(relay)?.state)));
        let wanted = found.and_then(|(relay, before)| Some((relay, topic::command(payload, before)?)));
        match wanted {
            Some((relay, state)) => self.switch(relay, state),
            None => self.ignored = self.ignored.saturating_add(1),
        }
    }

    /// Takes how the device can be reached, for the LED.
    pub fn link(&mut self, link: Link, now: Instant) {
        if self.link != link {
            self.link = link;
            self.show(now);
        }
    }

    /// Does what is due at [`Self::poll_at`].
    pub fn tick(&mut self, now: Instant) {
        for place in 0..self.contacts.len() {
            self.look_at(place, now);
        }
        if self.shown.is_none_or(|(_, next)| next.is_some_and(|next| next <= now)) {
            self.show(now);
        }
    }

    /// When to call [`Self::tick`].
    pub fn poll_at(&self) -> Option<Instant> {
        let blink = self.shown.and_then(|(_, next)| next).filter(|_| !self.status_leds.is_empty());
        let mut due = blink.unwrap_or(Instant::MAX);
        for Switch { contact, held, .. } in &self.contacts {
            due = due.min(contact.poll_at().unwrap_or(Instant::MAX));
            due = due.min(held.map_or(Instant::MAX, |since| since + LONG));
        }
        (due < Instant::MAX).then_some(due)
    }

    /// What the plug wants, in this order.
    pub fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// The name that its topics begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state of each relay.
    pub fn relays(&self) -> impl Iterator<Item = State> {
        self.relays.iter().map(|relay| relay.state)
    }

    /// How many messages for it were no commands.
    pub const fn ignored(&self) -> u32 {
        self.ignored
    }

    fn look_at(&mut self, place: usize, now: Instant) {
        let Some(switch) = self.contacts.get_mut(place) else { return };
        let (relay, is_button) = (switch.relay, switch.contact.pin.function == PinFunction::Button);
        let change = switch.contact.poll(now);
        let mut press = None;
        match change {
            Some((State::On, since)) if is_button => switch.held = Some(since),
            Some((State::Off, since)) if is_button => {
                press = switch
                    .held
                    .take()
                    .map(|held| if since < held + LONG { Press::Short } else { Press::Long });
            }
            Some(_) => return self.toggle(relay),
            None => {}
        }
        if switch.held.take_if(|held| *held + LONG <= now).is_some() {
            press = Some(Press::Long);
        }
        let Some(press) = press else { return };
        if press == Press::Short {
            self.toggle(relay);
        }
        self.events.push(Event::Button(press));
    }

    fn toggle(&mut self, relay: usize) {
        let relay = if relay < self.relays.len() { relay } else { 0 };
        if let Some(state) = self.relays.get(relay).map(|relay| relay.state.other()) {
            self.switch(relay, state);
        }
    }

    /// Switches a relay; one that is as it is to be tells its state all the same, as an answer.
    fn switch(&mut self, relay: usize, state: State) {
        if let Some(relay) = self.relays.get_mut(relay) {
            relay.state = state;
        }
        self.apply(relay);
    }

    /// Makes the pins what a relay's state is.
    fn apply(&mut self, relay: usize) {
        let Some(&Relay { pin, state }) = self.relays.get(relay) else { return };
        self.events.push(drive(pin, state));
        if relay == 0 {
            self.drive_all(|plug| &plug.relay_leds, state);
        }
        self.events.push(Event::Relay { relay, state });
    }

    /// Has the status LEDs show how the device can be reached.
    fn show(&mut self, now: Instant) {
        let (state, next) = match self.led_use {
            LedUse::Status => self.link.light(now),
            LedUse::Off => (State::Off, None),
        };
        if self.shown.is_none_or(|(shown, _)| shown != state) {
            self.drive_all(|plug| &plug.status_leds, state);
        }
        self.shown = Some((state, next));
    }

    fn drive_all(&mut self, leds: fn(&Self) -> &Vec<Pin>, state: State) {
        for place in 0..leds(self).len() {
            let Some(&pin) = leds(self).get(place) else { return };
            self.events.push(drive(pin, state));
        }
    }
}

/// Whether a pin belongs to a power meter, which nobody reads.
const fn is_meter(function: PinFunction) -> bool {
    use PinFunction::{MeterCf, MeterCf1, MeterRx, MeterSel};
    matches!(function, MeterCf | MeterCf1 | MeterSel | MeterRx)
}

const fn drive(pin: Pin, state: State) -> Event {
    Event::Pin { gpio: pin.gpio, mode: PinMode::Driven(Level::of(pin, state)) }
}

#[cfg(test)]
mod tests;
