//! Pins as the device sees them: a number, a level, and what a pin is to be.

use espbroker_config::model::Pin;

/// One more than the chip's highest GPIO.
const COUNT: usize = 17;

/// What is on a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Ground.
    Low,
    /// 3.3 V.
    High,
}

impl Level {
    /// The level of something that is on or off.
    pub(crate) const fn of(pin: Pin, state: State) -> Self {
        match (state, pin.inverted) {
            (State::On, false) | (State::Off, true) => Self::High,
            (State::Off, false) | (State::On, true) => Self::Low,
        }
    }

    /// What a pin at this level says.
    pub(crate) const fn state(self, pin: Pin) -> State {
        match (self, pin.inverted) {
            (Self::High, false) | (Self::Low, true) => State::On,
            (Self::Low, false) | (Self::High, true) => State::Off,
        }
    }
}

/// Whether a relay, an LED or a contact is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No current, no light, not pressed.
    Off,
    /// Current, light, pressed.
    On,
}

impl State {
    /// As in messages and status lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Off, Self::On].into_iter().find(|state| state.word().as_bytes() == word)
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Off => Self::On,
            Self::On => Self::Off,
        }
    }
}

/// What a pin is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinMode {
    /// As after a reset: an input that nobody looks at.
    Released,
    /// An input with a pull-up where the chip has one, whose level is reported: once at first, and then when it changes.
    Watched,
    /// An output. The first level is there before the pin drives anything.
    Driven(Level),
}

/// Outputs that have kept their level over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins([Option<Level>; COUNT]);

impl Pins {
    /// The numbers of all pins that the chip could have.
    pub const ALL: core::ops::Range<u8> = 0..17;

    /// Notes the level of a pin; one that the chip does not have is ignored.
    pub fn note(&mut self, gpio: u8, level: Level) {
        if let Some(place) = self.0.get_mut(usize::from(gpio)) {
            *place = Some(level);
        }
    }

    /// What was noted of a pin.
    pub fn level(&self, gpio: u8) -> Option<Level> {
        self.0.get(usize::from(gpio)).copied().flatten()
    }
}
