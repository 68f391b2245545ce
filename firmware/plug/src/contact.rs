//! [`Contact`]: a button or a wall switch, whose bouncing is waited out.

use espbroker_config::model::Pin;

use crate::{
    Instant,
    pins::{Level, State},
};

/// How long a level must last to count, milliseconds. Contacts bounce for 10 ms while they are new.
pub(crate) const STEADY: u64 = 30;

/// A contact on a pin.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(crate) pin: Pin,
    /// What counts; `None` until the pin was looked at for the first time.
    state: Option<State>,
    /// Another state and since when it lasts.
    other: Option<(State, Instant)>,
}

impl Contact {
    pub(crate) const fn new(pin: Pin) -> Self {
        Self { pin, state: None, other: None }
    }

    /// Takes the level of the pin.
    pub(crate) fn set(&mut self, level: Level, now: Instant) {
        let state = level.state(self.pin);
        self.other = match self.other {
            _ if self.state == Some(state) => None,
            Some((other, since)) if other == state => Some((other, since)),
            _ => Some((state, now)),
        };
    }

    /// When [`Self::poll`] is due.
    pub(crate) const fn poll_at(&self) -> Option<Instant> {
        match self.other {
            Some((_, since)) => Some(since + STEADY),
            None => None,
        }
    }

    /// A change that has lasted: to what, and when it began. How the contact is found at first is none.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(State, Instant)> {
        let change = self.other.take_if(|(_, since)| *since + STEADY <= now)?;
        self.state.replace(change.0).map(|_| change)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use espbroker_config::model::PinFunction;
    use proptest::prelude::*;

    use super::*;

    const BUTTON: Pin = Pin { gpio: 0, function: PinFunction::Button, inverted: true };

    /// A button that was found released.
    fn released() -> Contact {
        let mut contact = Contact::new(BUTTON);
        contact.set(Level::High, 0);
        assert_eq!(contact.poll(30), None);
        contact
    }

    #[test]
    fn a_level_counts_when_it_has_lasted() {
        let mut contact = released();
        contact.set(Level::Low, 100);
        assert_eq!((contact.poll_at(), contact.poll(129)), (Some(130), None));
        assert_eq!(contact.poll(130), Some((State::On, 100)));
        assert_eq!((contact.poll_at(), contact.poll(500)), (None, None));
    }

    #[test]
    fn bouncing_is_one_press_that_began_at_its_last_edge() {
        let mut contact = released();
        for at in [100, 104, 108, 112] {
            contact.set(Level::Low, at);
            contact.set(Level::High, at + 2);
        }
        assert_eq!(contact.poll_at(), None);
        contact.set(Level::Low, 116);
        contact.set(Level::Low, 126);
        assert_eq!(contact.poll(146), Some((State::On, 116)));
    }

    #[test]
    fn a_button_that_is_held_at_the_start_is_not_pressed_by_it() {
        let mut contact = Contact::new(BUTTON);
        contact.set(Level::Low, 0);
        assert_eq!(contact.poll(1000), None);
        contact.set(Level::High, 2000);
        assert_eq!(contact.poll(2030), Some((State::Off, 2000)));
    }

    proptest! {
        #[test]
        fn changes_alternate_and_are_never_closer_than_the_time_that_counts(
            steps in proptest::collection::vec((0_u64..60, any::<bool>()), 1..60),
        ) {
            let mut contact = released();
            let (mut now, mut changes) = (40, Vec::new());
            for (pause, high) in steps {
                now += pause;
                changes.extend(contact.poll(now));
                contact.set(if high { Level::High } else { Level::Low }, now);
            }
            for pair in changes.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0 && pair[1].1 >= pair[0].1 + STEADY);
            }
        }
    }
}
