//! [`BridgeBit`]: whether the next CONNECT says that it comes from a bridge.
//!
//! With `try_private` the first does. A broker that knows only the standard answers CONNACK 1 and is asked without
//! the bit from then on, as mosquitto's bridges do. Others close the connection or stay silent, so an attempt without
//! an answer is followed by one without the bit. When that is answered, twice over, the broker is taken for one of
//! those. Once is not enough: a broker that is being restarted behind a forwarder looks the same by chance, and
//! without the bit a bridge gets its own messages back.

/// Whether a CONNECT carries the bridge bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The protocol level with the bridge bit.
    Private,
    /// That of any client.
    Plain,
}

/// How often the same thing must happen before it is not tried again.
const PROOF: u8 = 2;

/// What is known of the other broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BridgeBit {
    next: Level,
    /// Times that it answered without the bit after it had not answered with it; [`PROOF`] when that is settled.
    doubts: u8,
}

impl BridgeBit {
    /// Begins with `first`; nothing else is tried after [`Level::Plain`].
    pub(crate) const fn new(first: Level) -> Self {
        Self { next: first, doubts: if matches!(first, Level::Plain) { PROOF } else { 0 } }
    }

    /// For the next CONNECT.
    pub(crate) const fn level(&self) -> Level {
        self.next
    }

    /// CONNACK 1. Returns whether there is another level to try.
    pub(crate) fn refused(&mut self) -> bool {
        let asked = core::mem::replace(&mut self.next, Level::Plain);
        self.doubts = PROOF;
        asked == Level::Private
    }

    /// Any other CONNACK.
    pub(crate) const fn answered(&mut self) {
        match self.next {
            Level::Private => self.doubts = 0,
            Level::Plain if self.doubts < PROOF => {
                self.doubts += 1;
                self.next = if self.doubts < PROOF { Level::Private } else { Level::Plain };
            }
            Level::Plain => {}
        }
    }

    /// No CONNACK. Returns whether there is another level to try.
    pub(crate) fn unanswered(&mut self) -> bool {
        let asked = self.next;
        self.next = match asked {
            Level::Plain if self.doubts < PROOF => Level::Private,
            _ => Level::Plain,
        };
        asked == Level::Private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_refuses_the_level_is_asked_without_the_bit_for_good() {
        let mut bit = BridgeBit::new(Level::Private);
        assert!(bit.refused());
        for _ in 0..3 {
            assert_eq!(bit.level(), Level::Plain);
            bit.answered();
            assert_eq!(bit.level(), Level::Plain);
            assert!(!bit.unanswered());
        }
        assert!(!bit.refused());
    }

    #[test]
    fn a_broker_that_takes_the_bit_is_always_asked_with_it() {
        let mut bit = BridgeBit::new(Level::Private);
        for _ in 0..3 {
            assert_eq!(bit.level(), Level::Private);
            bit.answered();
        }
    }

    #[test]
    fn a_broker_that_answers_only_without_the_bit_is_asked_without_it_after_the_second_time() {
        let mut bit = BridgeBit::new(Level::Private);
        for _ in 0..2 {
            assert_eq!(bit.level(), Level::Private);
            assert!(bit.unanswered());
            assert_eq!(bit.level(), Level::Plain);
            bit.answered();
        }
        assert_eq!(bit.level(), Level::Plain);
        assert!(!bit.unanswered());
        assert_eq!(bit.level(), Level::Plain);
    }

    #[test]
    fn a_broker_that_answers_nothing_is_asked_with_and_without_the_bit_by_turns() {
        let mut bit = BridgeBit::new(Level::Private);
        for _ in 0..4 {
            assert!(bit.unanswered());
            assert!(!bit.unanswered());
        }
        assert_eq!(bit.level(), Level::Private);
    }

    #[test]
    fn a_restart_of_the_broker_does_not_cost_the_bit() {
        let mut bit = BridgeBit::new(Level::Private);
        for _ in 0..5 {
            bit.unanswered();
            bit.answered();
            assert_eq!(bit.level(), Level::Private);
            bit.answered();
        }
    }

    #[test]
    fn a_bridge_told_not_to_never_sends_the_bit() {
        let mut bit = BridgeBit::new(Level::Plain);
        assert!(!bit.unanswered());
        bit.answered();
        assert!(!bit.refused());
        assert_eq!(bit.level(), Level::Plain);
    }
}
