//! The status LED: what is said with it.

use crate::{Instant, pins::State};

/// How the device can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not at all: it tries to join a network. The LED is on for half a second and off for half a second.
    Joining,
    /// Through its own access point. The LED flickers, five times a second.
    AccessPoint,
    /// Through the network of the house. The LED is lit.
    Joined,
}

impl Link {
    /// What the LED shows at a moment, and when that changes.
    pub(crate) fn light(self, now: Instant) -> (State, Option<Instant>) {
        let pause = match self {
            Self::Joining => 500,
            Self::AccessPoint => 100,
            Self::Joined => return (State::On, None),
        };
        let round = now / pause;
        let state = if round.is_multiple_of(2) { State::On } else { State::Off };
        (state, Some((round + 1) * pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_led_blinks_while_there_is_no_network_and_is_lit_when_there_is() {
        assert_eq!(Link::Joining.light(0), (State::On, Some(500)));
        assert_eq!(Link::Joining.light(999), (State::Off, Some(1000)));
        assert_eq!(Link::AccessPoint.light(1250), (State::On, Some(1300)));
        assert_eq!(Link::Joined.light(7), (State::On, None));
    }
}
