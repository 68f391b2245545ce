//! [`Rfc2217Port`]: a serial port on another machine, RFC 2217 (Telnet COM-PORT-OPTION).
//!
//! The client's side of SET-BAUDRATE, SET-DATASIZE, SET-PARITY, SET-STOPSIZE, SET-CONTROL and PURGE-DATA. The server's
//! notifications of line and modem state are ignored, and so is its flow control, as the loader's protocol waits for
//! a reply to every block. DTR and RTS travel in one segment, DTR first; nobody waits for the answer, as some servers
//! give none.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::telnet::{self, IAC, Parser, Received, Verb, escape};
use super::{ControlLines, RFC2217_PREFIX, Transport, TransportError};

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;
/// What is asked for and offered.
const OPTIONS: [u8; 3] = [BINARY, SUPPRESS_GO_AHEAD, COM_PORT];

const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
const PURGE_DATA: u8 = 12;
/// What a server adds to the number of a command that it answers.
const ANSWER: u8 = 100;

const NO_FLOW_CONTROL: u8 = 1;
const DTR_ON: u8 = 8;
const DTR_OFF: u8 = 9;
const RTS_ON: u8 = 11;
const RTS_OFF: u8 = 12;
const PURGE_RECEIVED: u8 = 1;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Servers that do not answer PURGE-DATA should not cost more than this.
const PURGE_TIMEOUT: Duration = Duration::from_millis(500);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open port on a server.
pub struct Rfc2217Port {
    stream: TcpStream,
    parser: Parser,
    data: VecDeque<u8>,
    answers: VecDeque<(u8, Vec<u8>)>,
    com_port: Option<Verb>,
    name: String,
    baud: u32,
    opened: Instant,
}

impl Rfc2217Port {
    /// Connects to `host:port` and sets the port to 8 data bits, no parity, one stop bit and no flow control.
    ///
    /// # Errors
    /// [`TransportError`] when there is no such server, it does not offer COM-PORT-OPTION, or refuses the rate.
    pub fn connect(address: &str, baud: u32) -> Result<Self, TransportError> {
        let name = format!("{RFC2217_PREFIX}{address}");
        let other = |message: String| TransportError::Other { port: name.clone(), message };
        let mut failure = other("host has no address".to_owned());
        let addresses = address.to_socket_addrs().map_err(|error| other(error.to_string()))?;
        let mut connected = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => failure = other(error.to_string()),
            }
        }
        let stream = connected.ok_or(failure)?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_write_timeout(Some(WRITE_TIMEOUT)))
            .map_err(|error| other(error.to_string()))?;
        let mut port = Self {
            stream,
            parser: Parser::new(),
            data: VecDeque::new(),
            answers: VecDeque::new(),
            com_port: None,
            name,
            baud,
            opened: Instant::now(),
        };
        port.negotiate()?;
        port.set_baud(baud)?;
        Ok(port)
    }

    fn negotiate(&mut self) -> Result<(), TransportError> {
        let offer: Vec<u8> = OPTIONS
            .iter()
            .flat_map(|&option| [IAC, Verb::Will as u8, option, IAC, Verb::Do as u8, option])
            .collect();
        self.send(&offer)?;
        let deadline = self.now() + CONNECT_TIMEOUT;
        while self.com_port.is_none() && self.now() < deadline {
            self.pump(deadline)?;
        }
        if self.com_port != Some(Verb::Do) {
            let message = "server does not offer COM-PORT-OPTION".to_owned();
            return Err(TransportError::Other { port: self.name.clone(), message });
        }
        // 8 data bits, parity 1 (none), stop bits 1, no flow control.
        let settings =
            [(SET_DATASIZE, 8), (SET_PARITY, 1), (SET_STOPSIZE, 1), (SET_CONTROL, NO_FLOW_CONTROL)];
        let settings: Vec<u8> =
            settings.iter().flat_map(|&(command, value)| subnegotiation(command, &[value])).collect();
        self.send(&settings)
    }

    fn gone(&self) -> TransportError {
        TransportError::Gone { port: self.name.clone() }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.stream.write_all(bytes).map_err(|_| self.gone())
    }

    /// Reads once, at most until `deadline`, and sorts what came.
    fn pump(&mut self, deadline: Duration) -> Result<(), TransportError> {
        // A socket takes no time-out of zero.
        let timeout = deadline.saturating_sub(self.now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(timeout)).map_err(|_| self.gone())?;
        let mut buffer = [0; 4096];
        let length = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(self.gone()),
            Ok(length) => length,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
                    _ => Err(self.gone()),
                };
            }
        };
        for &byte in buffer.get(..length).unwrap_or_default() {
            if let Some(received) = self.parser.push(byte) {
                self.sort(received)?;
            }
        }
        Ok(())
    }

    fn sort(&mut self, received: Received) -> Result<(), TransportError> {
        match received {
            Received::Data(byte) => self.data.push_back(byte),
            Received::Negotiation { verb: verb @ (Verb::Do | Verb::Dont), option: COM_PORT } => {
                self.com_port = Some(verb);
            }
            // Answers to what was offered need no answer, or both sides would go on for ever.
            Received::Negotiation { option, .. } if OPTIONS.contains(&option) => {}
            Received::Negotiation { verb: Verb::Do, option } => {
                self.send(&[IAC, Verb::Wont as u8, option])?;
            }

            Received::Negotiation { verb: Verb::Will, option } => {
                self.send(&[IAC, Verb::Dont as u8, option])?;
            }

            Received::Negotiation { .. } => {}
            Received::Subnegotiation(content) => {
                if let [COM_PORT, command, value @ ..] = content.as_slice() {
                    self.answer(*command, value);
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, command: u8, value: &[u8]) {
        match command.checked_sub(ANSWER) {
            // Everything in front of this answer was received before the purge.
            Some(PURGE_DATA) => {
                self.data.clear();
                self.answers.push_back((PURGE_DATA, value.to_vec()));
            }
            Some(SET_BAUDRATE) => self.answers.push_back((SET_BAUDRATE, value.to_vec())),
            _ => {}
        }
    }

    /// Asks for a rate and returns the one that the server has set.
    fn ask_for_baud(&mut self, baud: u32) -> Result<u32, TransportError> {
        let Some(answer) = self.ask(SET_BAUDRATE, &baud.to_be_bytes(), ANSWER_TIMEOUT)? else {
            let message = "server does not answer SET-BAUDRATE".to_owned();
            return Err(TransportError::Other { port: self.name.clone(), message });
        };
        Ok(<[u8; 4]>::try_from(answer).map(u32::from_be_bytes).unwrap_or(0))
    }

    /// Sends a command and waits for its answer; `None` when there is none in time.
    fn ask(
        &mut self,
        command: u8,
        value: &[u8],
        timeout: Duration,
    ) -> Result<Option<Vec<u8>>, TransportError> {
        self.answers.clear();
        self.send(&subnegotiation(command, value))?;
        let deadline = self.now() + timeout;
        loop {
            while let Some((answered, value)) = self.answers.pop_front() {
                if answered == command {
                    return Ok(Some(value));
                }
            }
            if self.now() >= deadline {
                return Ok(None);
            }
            self.pump(deadline)?;
        }
    }
}

fn subnegotiation(command: u8, value: &[u8]) -> Vec<u8> {
    telnet::subnegotiation(&[&[COM_PORT, command], value].concat())
}

impl Transport for Rfc2217Port {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.send(&escape(bytes))
    }

    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, TransportError> {
        let deadline = self.now() + timeout;
        while self.data.is_empty() && self.now() < deadline {
            self.pump(deadline)?;
        }
        let length = self.data.len().min(buffer.len());
        for (slot, byte) in buffer.iter_mut().zip(self.data.drain(..length)) {
            *slot = byte;
        }
        Ok(length)
    }

    fn set_lines(&mut self, lines: ControlLines) -> Result<(), TransportError> {
        let mut bytes = subnegotiation(SET_CONTROL, &[if lines.dtr { DTR_ON } else { DTR_OFF }]);
        bytes.extend(subnegotiation(SET_CONTROL, &[if lines.rts { RTS_ON } else { RTS_OFF }]));
        self.send(&bytes)
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), TransportError> {
        let set = self.ask_for_baud(baud)?;
        // A server may state the rate that its hardware really has; a UART tolerates about three percent.
        if set.abs_diff(baud) > baud / 33 {
            if set != self.baud {
                // It went to the nearest rate that it has.
                self.ask_for_baud(self.baud)?;
            }
            return Err(TransportError::BaudRefused { port: self.name.clone(), baud });
        }
        self.baud = baud;
        Ok(())
    }

    fn baud(&self) -> u32 {
        self.baud
    }

    fn discard_input(&mut self) -> Result<(), TransportError> {
        if self.ask(PURGE_DATA, &[PURGE_RECEIVED], PURGE_TIMEOUT)?.is_none() {
            self.data.clear();
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn sleep(&mut self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::telnet::{SB, SE};
    use super::*;

    /// A server with one port: data is echoed, every command is answered and noted.
    struct Server {
        address: String,
        thread: JoinHandle<Vec<(u8, Vec<u8>)>>,
    }

    #[derive(Clone, Copy)]
    struct Behaviour {
        com_port: Verb,
        baud_ceiling: u32,
        stale: &'static [u8],
    }

    const WILLING: Behaviour = Behaviour { com_port: Verb::Do, baud_ceiling: u32::MAX, stale: b"" };

    impl Server {
        fn start(behaviour: Behaviour) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let thread = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut parser = Parser::new();
                let mut commands = Vec::new();
                let mut buffer = [0; 512];
                // An option nobody asked for, a notification, and the answer to the offer.
                stream.write_all(&[IAC, Verb::Will as u8, 1, IAC, Verb::Do as u8, 99]).unwrap();
                stream.write_all(&[IAC, SB, COM_PORT, 107, 0xB0, IAC, SE]).unwrap();
                stream.write_all(&[IAC, behaviour.com_port as u8, COM_PORT]).unwrap();
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    for &byte in &buffer[..length] {
                        match parser.push(byte) {
                            Some(Received::Data(byte)) => stream.write_all(&escape(&[byte])).unwrap(),
                            Some(Received::Subnegotiation(content)) => {
                                let (command, value) = (content[1], content[2..].to_vec());
                                if command == PURGE_DATA {
                                    stream.write_all(behaviour.stale).unwrap();
                                }
                                let mut answer = value.clone();
                                if command == SET_BAUDRATE {
                                    let asked = u32::from_be_bytes(value.clone().try_into().unwrap());
                                    answer = asked.min(behaviour.baud_ceiling).to_be_bytes().to_vec();
                                }
                                stream.write_all(&subnegotiation(command + ANSWER, &answer)).unwrap();
                                commands.push((command, value));
                            }
                            Some(Received::Negotiation { verb, option }) => {
                                commands.push((verb as u8, vec![option]));
                            }
                            None => {}
                        }
                    }
                }
                commands
            });
            Self { address, thread }
        }

        fn commands(self) -> Vec<(u8, Vec<u8>)> {
            self.thread.join().unwrap()
        }
    }

    #[test]
    fn settings_lines_rate_and_purge_reach_the_server_in_order() {
        let server = Server::start(WILLING);
        let mut port = Rfc2217Port::connect(&server.address, 115_200).unwrap();
        port.set_lines(ControlLines { dtr: false, rts: true }).unwrap();
        port.set_lines(ControlLines { dtr: true, rts: false }).unwrap();
        port.set_baud(74_880).unwrap();
        assert_eq!(port.baud(), 74_880);
        port.discard_input().unwrap();
        drop(port);
        let commands: Vec<_> = server.commands().into_iter().filter(|(command, _)| *command < 100).collect();
        assert_eq!(
            commands,
            [
                (SET_DATASIZE, vec![8]),
                (SET_PARITY, vec![1]),
                (SET_STOPSIZE, vec![1]),
                (SET_CONTROL, vec![NO_FLOW_CONTROL]),
                (SET_BAUDRATE, 115_200_u32.to_be_bytes().to_vec()),
                (SET_CONTROL, vec![DTR_OFF]),
                (SET_CONTROL, vec![RTS_ON]),
                (SET_CONTROL, vec![DTR_ON]),
                (SET_CONTROL, vec![RTS_OFF]),
                (SET_BAUDRATE, 74_880_u32.to_be_bytes().to_vec()),
                (PURGE_DATA, vec![PURGE_RECEIVED]),
            ]
        );
    }

    #[test]
    fn every_byte_passes_both_ways_unchanged() {
        let server = Server::start(WILLING);
        let mut port = Rfc2217Port::connect(&server.address, 115_200).unwrap();
        let sent: Vec<u8> = (0..=255).chain([IAC, IAC]).collect();
        port.write_all(&sent).unwrap();
        let mut received: Vec<u8> = Vec::new();
        let mut buffer = [0; 100];
        while received.len() < sent.len() {
            let length = port.read(&mut buffer, Duration::from_secs(2)).unwrap();
            assert!(length > 0, "silence after {} bytes", received.len());
            received.extend(&buffer[..length]);
        }
        assert_eq!(received, sent);
        assert_eq!(port.read(&mut buffer, Duration::from_millis(5)), Ok(0));
        drop(port);
        server.commands();
    }

    #[test]
    fn unknown_options_are_refused_once() {
        let server = Server::start(WILLING);
        drop(Rfc2217Port::connect(&server.address, 115_200).unwrap());
        let refused: Vec<_> = server
            .commands()
            .into_iter()
            .filter(|(verb, _)| [Verb::Wont as u8, Verb::Dont as u8].contains(verb))
            .collect();
        assert_eq!(refused, [(Verb::Dont as u8, vec![1]), (Verb::Wont as u8, vec![99])]);
    }

    #[test]
    fn what_came_before_a_purge_was_answered_is_dropped() {
        let server = Server::start(Behaviour { stale: b"boot log", ..WILLING });
        let mut port = Rfc2217Port::connect(&server.address, 115_200).unwrap();
        port.discard_input().unwrap();
        port.write_all(b"x").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(port.read(&mut buffer, Duration::from_secs(2)), Ok(1));
        assert_eq!(buffer[0], b'x');
        drop(port);
        server.commands();
    }

    #[test]
    fn a_rate_that_the_server_does_not_set_is_refused_and_the_old_one_stays() {
        let server = Server::start(Behaviour { baud_ceiling: 230_400, ..WILLING });
        let mut port = Rfc2217Port::connect(&server.address, 115_200).unwrap();
        let refused = TransportError::BaudRefused { port: port.name().to_owned(), baud: 460_800 };
        assert_eq!(port.set_baud(460_800), Err(refused));
        assert_eq!(port.baud(), 115_200);
        drop(port);
        let mut rates = server.commands().into_iter().filter(|(command, _)| *command == SET_BAUDRATE);
        // The server went as far as it could, so it has to be told to come back.
        assert_eq!(rates.next_back(), Some((SET_BAUDRATE, 115_200_u32.to_be_bytes().to_vec())));
    }

    #[test]
    fn a_plain_telnet_server_is_refused_and_a_closed_one_is_gone() {
        let server = Server::start(Behaviour { com_port: Verb::Dont, ..WILLING });
        let error = Rfc2217Port::connect(&server.address, 115_200).err();
        assert!(
            matches!(error, Some(TransportError::Other { message, .. }) if message.contains("COM-PORT-OPTION"))
        );
        server.commands();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || drop(listener.accept()));
        let error = Rfc2217Port::connect(&address, 115_200).err();
        assert_eq!(error, Some(TransportError::Gone { port: format!("rfc2217://{address}") }));
        thread.join().unwrap();
        let error = Rfc2217Port::connect(&address, 115_200).err();
        assert!(matches!(error, Some(TransportError::Other { .. })), "{error:?}");
    }
}
