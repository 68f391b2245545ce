//! [`Port`]: the serial port behind the Telnet connection, by the rules of RFC 2217.
//!
//! Bytes in, [`Action`]s out. The port is always 8N1 without flow control and says so when something else is asked.
//! It never notifies of line or modem state, as there is neither.
//!
//! Control lines arrive one at a time and, from careful clients, far apart: pyserial waits at least 50 ms for each
//! answer. A reset sequence that goes from "RTS only" to "DTR only" over "both" would release EN for so long that the
//! chip starts from flash. So, as servers made for such boards do, this one keeps the chip in reset over the step in
//! between, for at most [`HOLD`].

use std::time::Duration;

use espbroker_flasher::transport::ControlLines;
use espbroker_flasher::transport::telnet::{IAC, Parser, Received, Verb, escape, subnegotiation};

/// How long "both lines asserted" is kept from ending a reset.
pub(super) const HOLD: Duration = Duration::from_millis(300);

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

const SIGNATURE: u8 = 0;
const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
const SET_LINESTATE_MASK: u8 = 10;
const SET_MODEMSTATE_MASK: u8 = 11;
const PURGE_DATA: u8 = 12;
/// Added to a command's number in its answer.
const ANSWER: u8 = 100;

/// What the connection has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send to the device.
    ToDevice(u8),
    /// Send to the client.
    ToClient(Vec<u8>),
    /// Set the rate.
    Baud(u32),
    /// Set the lines now.
    Lines(ControlLines),
    /// Set the lines after [`HOLD`], unless lines are set before.
    LinesLater(ControlLines),
    /// Throw away what the device has sent.
    DiscardInput,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Port {
    parser: Parser,
    baud: u32,
    lines: ControlLines,
    /// Options that this side has said yes to, as (verb sent, option).
    agreed: Vec<(Verb, u8)>,
}

impl Port {
    pub(super) fn new() -> Self {
        Self {
            parser: Parser::new(),
            baud: 115_200,
            lines: ControlLines::default(),
            agreed: vec![(Verb::Do, BINARY), (Verb::Will, BINARY), (Verb::Do, COM_PORT)],
        }
    }

    /// The rate that the client believes to have.
    pub(super) const fn baud(&self) -> u32 {
        self.baud
    }

    /// What the server says first.
    pub(super) fn greeting(&self) -> Vec<u8> {
        self.agreed.iter().flat_map(|&(verb, option)| [IAC, verb as u8, option]).collect()
    }

    /// Data for the client.
    pub(super) fn wrap(bytes: &[u8]) -> Vec<u8> {
        escape(bytes)
    }

    /// Takes the next byte from the client.
    pub(super) fn push(&mut self, byte: u8) -> Vec<Action> {
        match self.parser.push(byte) {
            None => Vec::new(),
            Some(Received::Data(byte)) => vec![Action::ToDevice(byte)],
            Some(Received::Negotiation { verb, option }) => self.negotiate(verb, option),
            Some(Received::Subnegotiation(content)) => match *content {
                [COM_PORT, command, ref value @ ..] => self.configure(command, value),
                _ => Vec::new(),
            },
        }
    }

    fn negotiate(&mut self, verb: Verb, option: u8) -> Vec<Action> {
        let wanted = matches!(option, BINARY | SUPPRESS_GO_AHEAD | COM_PORT);
        let (yes, no) = match verb {
            Verb::Do | Verb::Dont => (Verb::Will, Verb::Wont),
            Verb::Will | Verb::Wont => (Verb::Do, Verb::Dont),
        };
        let answer = match verb {
            // An answer to an answer would never end.
            Verb::Do | Verb::Will if wanted && self.agreed.contains(&(yes, option)) => return Vec::new(),
            Verb::Do | Verb::Will if wanted => {
                self.agreed.push((yes, option));
                yes
            }
            Verb::Do | Verb::Will => no,
            Verb::Dont | Verb::Wont => {
                let before = self.agreed.len();
                self.agreed.retain(|&agreed| agreed != (yes, option));
                if self.agreed.len() == before {
                    return Vec::new();
                }
                no
            }
        };
        vec![Action::ToClient(vec![IAC, answer as u8, option])]
    }

    fn configure(&mut self, command: u8, value: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        let first = value.first().copied().unwrap_or(0);
        let answer: Vec<u8> = match command {
            SIGNATURE if value.is_empty() => b"espbroker virtual ESP8266".to_vec(),
            SET_BAUDRATE => {
                if let Ok(rate) = value.try_into() {
                    match u32::from_be_bytes(rate) {
                        0 => {}
                        rate => {
                            self.baud = rate;
                            actions.push(Action::Baud(rate));
                        }
                    }
                }
                self.baud.to_be_bytes().to_vec()
            }
            SET_DATASIZE => vec![8],
            SET_PARITY | SET_STOPSIZE => vec![1],
            SET_CONTROL => {
                let before = self.lines;
                let answer = self.control(first);
                if before != self.lines {
                    actions.push(self.change_lines(before));
                }
                vec![answer]
            }
            SET_LINESTATE_MASK | SET_MODEMSTATE_MASK => vec![0],
            PURGE_DATA => {
                if matches!(first, 1 | 3) {
                    actions.push(Action::DiscardInput);
                }
                vec![first]
            }
            _ => return Vec::new(),
        };
        let content = [&[COM_PORT, command + ANSWER][..], &answer].concat();
        actions.push(Action::ToClient(subnegotiation(&content)));
        actions
    }

    /// SET-CONTROL: changes a line or tells its state; gives the state that holds afterwards.
    const fn control(&mut self, value: u8) -> u8 {
        match value {
            8 => self.lines.dtr = true,
            9 => self.lines.dtr = false,
            11 => self.lines.rts = true,
            12 => self.lines.rts = false,
            _ => {}
        }
        match value {
            4..=6 => 6,
            7..=9 => {
                if self.lines.dtr {
                    8
                } else {
                    9
                }
            }
            10..=12 => {
                if self.lines.rts {
                    11
                } else {
                    12
                }
            }
            13..=16 | 18 => 14,
            _ => 1,
        }
    }

    const fn change_lines(&self, before: ControlLines) -> Action {
        let in_reset = before.rts && !before.dtr;
        let both = self.lines.rts && self.lines.dtr;
        if in_reset && both { Action::LinesLater(self.lines) } else { Action::Lines(self.lines) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WILL: u8 = Verb::Will as u8;
    const WONT: u8 = Verb::Wont as u8;
    const DO: u8 = Verb::Do as u8;
    const DONT: u8 = Verb::Dont as u8;

    fn send(port: &mut Port, bytes: &[u8]) -> Vec<Action> {
        bytes.iter().flat_map(|&byte| port.push(byte)).collect()
    }

    fn command(port: &mut Port, content: &[u8]) -> Vec<Action> {
        send(port, &subnegotiation(&[&[COM_PORT][..], content].concat()))
    }

    fn answer(content: &[u8]) -> Action {
        Action::ToClient(subnegotiation(&[&[COM_PORT][..], content].concat()))
    }

    #[test]
    fn wanted_options_are_agreed_once_and_others_refused() {
        let mut port = Port::new();
        assert_eq!(port.greeting(), [IAC, DO, 0, IAC, WILL, 0, IAC, DO, 44]);
        assert_eq!(send(&mut port, &[IAC, WILL, 44]), [], "this was asked for");
        assert_eq!(send(&mut port, &[IAC, DO, 44]), [Action::ToClient(vec![IAC, WILL, 44])]);
        assert_eq!(send(&mut port, &[IAC, DO, 44]), []);
        assert_eq!(send(&mut port, &[IAC, DO, 1]), [Action::ToClient(vec![IAC, WONT, 1])]);
        assert_eq!(send(&mut port, &[IAC, WILL, 1]), [Action::ToClient(vec![IAC, DONT, 1])]);
        assert_eq!(send(&mut port, &[IAC, DONT, 44]), [Action::ToClient(vec![IAC, WONT, 44])]);
        assert_eq!(send(&mut port, &[IAC, DONT, 44]), []);
    }

    #[test]
    fn the_baud_rate_is_set_told_and_answered() {
        let mut port = Port::new();
        let set = command(&mut port, &[1, 0, 1, 0x38, 0x80]);
        assert_eq!(set, [Action::Baud(80_000), answer(&[101, 0, 1, 0x38, 0x80])]);
        assert_eq!(command(&mut port, &[1, 0, 0, 0, 0]), [answer(&[101, 0, 1, 0x38, 0x80])]);
    }

    #[test]
    fn line_settings_are_answered_with_what_holds() {
        let mut port = Port::new();
        assert_eq!(command(&mut port, &[2, 7]), [answer(&[102, 8])]);
        assert_eq!(command(&mut port, &[3, 2]), [answer(&[103, 1])]);
        assert_eq!(command(&mut port, &[4, 2]), [answer(&[104, 1])]);
        assert_eq!(command(&mut port, &[5, 1]), [answer(&[105, 1])]);
        assert_eq!(command(&mut port, &[5, 7]), [answer(&[105, 9])]);
        assert_eq!(command(&mut port, &[12, 1]), [Action::DiscardInput, answer(&[112, 1])]);
        assert_eq!(command(&mut port, &[99]), []);
    }

    #[test]
    fn the_step_between_reset_and_loader_is_held_back() {
        let mut port = Port::new();
        let lines = |dtr, rts| ControlLines { dtr, rts };
        assert_eq!(command(&mut port, &[5, 11])[0], Action::Lines(lines(false, true)));
        assert_eq!(command(&mut port, &[5, 8])[0], Action::LinesLater(lines(true, true)));
        assert_eq!(command(&mut port, &[5, 12])[0], Action::Lines(lines(true, false)));
        assert_eq!(command(&mut port, &[5, 9])[0], Action::Lines(lines(false, false)));
        assert_eq!(command(&mut port, &[5, 9]), [answer(&[105, 9])], "nothing changes");
    }

    proptest! {
        #[test]
        fn any_bytes_from_a_client_are_taken(
            bytes in proptest::collection::vec(prop_oneof![Just(IAC), Just(250), Just(240), Just(44), 0_u8..16, any::<u8>()], 0..200)
        ) {
            send(&mut Port::new(), &bytes);
        }
    }
}
