//! Telnet's framing from the server's side: data, option negotiation and subnegotiations told apart.
//!
//! Implements RFC 854 and RFC 855 as far as a serial port server needs them; other commands (break, are-you-there)
//! are skipped. Total: any bytes, split anywhere.

/// Interpret as command.
pub(super) const IAC: u8 = 255;
pub(super) const DONT: u8 = 254;
pub(super) const DO: u8 = 253;
pub(super) const WONT: u8 = 252;
pub(super) const WILL: u8 = 251;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;
/// Longest subnegotiation that is kept; those of RFC 2217 have at most six bytes, a signature excepted.
const SUBNEGOTIATION_LIMIT: usize = 64;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Data(u8),
    /// WILL, WONT, DO or DONT.
    Option {
        verb: u8,
        option: u8,
    },
    /// What stands between SB and SE, IAC no longer doubled.
    Subnegotiation(Vec<u8>),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Verb(u8),
    Inside,
    InsideCommand,
}

/// Takes bytes one at a time.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    inside: Vec<u8>,
}

impl Decoder {
    pub(super) fn push(&mut self, byte: u8) -> Option<Event> {
        let (state, event) = match (self.state, byte) {
            (State::Data, IAC) => (State::Command, None),
            (State::Data, _) | (State::Command, IAC) => (State::Data, Some(Event::Data(byte))),
            (State::Command, WILL..=DONT) => (State::Verb(byte), None),
            (State::Command, SUBNEGOTIATION) => {
                self.inside.clear();
                (State::Inside, None)
            }
            (State::Command, _) => (State::Data, None),
            (State::Verb(verb), option) => (State::Data, Some(Event::Option { verb, option })),
            (State::Inside, IAC) => (State::InsideCommand, None),
            (State::Inside, _) | (State::InsideCommand, IAC) => {
                if self.inside.len() < SUBNEGOTIATION_LIMIT {
                    self.inside.push(byte);
                }
                (State::Inside, None)
            }
            (State::InsideCommand, SUBNEGOTIATION_END) => {
                (State::Data, Some(Event::Subnegotiation(std::mem::take(&mut self.inside))))
            }
            // Not allowed here; the subnegotiation is given up.
            (State::InsideCommand, _) => (State::Data, None),
        };
        self.state = state;
        event
    }
}

/// Data for the wire, IAC doubled.
pub(super) fn escape(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == IAC { 2 } else { 1 })).collect()
}

/// A subnegotiation for the wire.
pub(super) fn subnegotiation(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![IAC, SUBNEGOTIATION];
    bytes.extend(escape(content));
    bytes.extend([IAC, SUBNEGOTIATION_END]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Event> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|&byte| decoder.push(byte)).collect()
    }

    #[test]
    fn commands_are_told_from_data() {
        let bytes = [1, IAC, IAC, IAC, DO, 44, IAC, 246, IAC, SUBNEGOTIATION, 44, 1, IAC, IAC, IAC, 240, 2];
        assert_eq!(
            decode(&bytes),
            [
                Event::Data(1),
                Event::Data(IAC),
                Event::Option { verb: DO, option: 44 },
                Event::Subnegotiation(vec![44, 1, IAC]),
                Event::Data(2),
            ]
        );
    }

    proptest! {
        #[test]
        fn escaped_data_comes_back(bytes in proptest::collection::vec(prop_oneof![Just(IAC), any::<u8>()], 0..64)) {
            let events: Vec<Event> = bytes.iter().map(|&byte| Event::Data(byte)).collect();
            prop_assert_eq!(decode(&escape(&bytes)), events);
            prop_assert_eq!(decode(&subnegotiation(&bytes)), [Event::Subnegotiation(bytes)]);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(prop_oneof![Just(IAC), Just(250), any::<u8>()], 0..256)) {
            for event in decode(&bytes) {
                if let Event::Subnegotiation(inside) = event {
                    prop_assert!(inside.len() <= SUBNEGOTIATION_LIMIT);
                }
            }
        }
    }
}
