//! Telnet's framing, RFC 854: data with IAC doubled, option negotiation, subnegotiation.
//!
//! Bytes in, meaning out; no socket, and the same for both sides of a connection. Total: any bytes in any split give the same result.

/// "Interpret as command".
pub const IAC: u8 = 255;
/// Begins a subnegotiation.
pub const SB: u8 = 250;
/// Ends a subnegotiation.
pub const SE: u8 = 240;

/// The longest subnegotiation that is kept; COM-PORT-OPTION's signatures are the longest ones known.
const SUBNEGOTIATION_MAX: usize = 256;

/// The four verbs of option negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// "I will use this option", or an offer to.
    Will = 251,
    /// "I will not."
    Wont = 252,
    /// "Use this option", or leave to.
    Do = 253,
    /// "Do not."
    Dont = 254,
}

impl Verb {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }
}

/// What a byte completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One byte for the user.
    Data(u8),
    /// The other side wants or offers an option.
    Negotiation {
        /// What about it.
        verb: Verb,
        /// Its number.
        option: u8,
    },
    /// Option and content, with IAC no longer doubled.
    Subnegotiation(Vec<u8>),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Option(Verb),
    Subnegotiation,
    SubnegotiationCommand,
}

/// Takes a stream apart.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
    content: Vec<u8>,
}

impl Parser {
    /// At the beginning of a stream.
    pub const fn new() -> Self {
        Self { state: State::Data, content: Vec::new() }
    }

    /// Takes the next byte.
    pub fn push(&mut self, byte: u8) -> Option<Received> {
        match (self.state, byte) {
            (State::Data, IAC) => self.state = State::Command,
            (State::Data, _) => return Some(Received::Data(byte)),
            (State::Command, IAC) => {
                self.state = State::Data;
                return Some(Received::Data(IAC));
            }
            (State::Command, SB) => {
                self.content.clear();
                self.state = State::Subnegotiation;
            }
            // Every other command is two bytes long and of no interest to a serial port.
            (State::Command, _) => self.state = Verb::from_byte(byte).map_or(State::Data, State::Option),
            (State::Option(verb), option) => {
                self.state = State::Data;
                return Some(Received::Negotiation { verb, option });
            }
            (State::Subnegotiation, IAC) => self.state = State::SubnegotiationCommand,
            (State::Subnegotiation, _) => self.keep(byte),
            (State::SubnegotiationCommand, SE) => {
                self.state = State::Data;
                return Some(Received::Subnegotiation(std::mem::take(&mut self.content)));
            }
            (State::SubnegotiationCommand, _) => {
                // A doubled IAC; anything else is a broken sender, and dropping the byte costs the least.
                if byte == IAC {
                    self.keep(byte);
                }
                self.state = State::Subnegotiation;
            }
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        if self.content.len() < SUBNEGOTIATION_MAX {
            self.content.push(byte);
        }
    }
}

/// Doubles every IAC.
pub fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if byte == IAC {
            escaped.push(IAC);
        }
        escaped.push(byte);
    }
    escaped
}

/// A subnegotiation of `content`, which begins with the option.
pub fn subnegotiation(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![IAC, SB];
    bytes.extend(escape(content));
    bytes.extend([IAC, SE]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Received> {
        let mut parser = Parser::new();
        bytes.iter().filter_map(|&byte| parser.push(byte)).collect()
    }

    #[test]
    fn commands_are_told_from_data() {
        let bytes = [1, IAC, IAC, IAC, 253, 44, IAC, 241, IAC, SB, 44, 101, 0, IAC, IAC, 7, IAC, SE, 2];
        assert_eq!(
            parse(&bytes),
            [
                Received::Data(1),
                Received::Data(IAC),
                Received::Negotiation { verb: Verb::Do, option: 44 },
                Received::Subnegotiation(vec![44, 101, 0, IAC, 7]),
                Received::Data(2),
            ]
        );
    }

    proptest! {
        #[test]
        fn data_survives_the_round_trip(data in proptest::collection::vec(prop_oneof![Just(IAC), any::<u8>()], 0..100)) {
            let received: Vec<_> = data.iter().map(|&byte| Received::Data(byte)).collect();
            prop_assert_eq!(parse(&escape(&data)), received);
            prop_assert_eq!(parse(&subnegotiation(&data)), [Received::Subnegotiation(data)]);
        }

        #[test]
        fn any_bytes_neither_panic_nor_grow_past_the_limit(
            bytes in proptest::collection::vec(prop_oneof![Just(IAC), Just(SB), Just(SE), any::<u8>()], 0..600)) {
            for received in parse(&bytes) {
                if let Received::Subnegotiation(content) = received {
                    prop_assert!(content.len() <= SUBNEGOTIATION_MAX);
                }
            }
        }
    }
}
