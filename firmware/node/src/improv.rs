//! Improv: setting the Wi-Fi over the serial port, as browsers and Home Assistant do ("Improv via Serial", version 1, on
//! improv-wifi.com).
//!
//! ```text
//! IMPROV 01 type length data... sum          sum: of all bytes before it, modulo 256
//! ```
//!
//! Packets of type 3 come between the bytes of the console, and those of types 1 (state), 2 (error) and 4 (result) go out
//! between its lines, each with a line end behind it. Commands: set Wi-Fi, current state, device information, networks in
//! sight. Of the last there are never any: the radio has no scan. Left out: commands 5 and 6, which name the device, and
//! 7; they are answered as unknown, which the document allows.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use espbroker_config::model::Wifi;

use crate::Instant;

const HEADER: [u8; 7] = *b"IMPROV\x01";
/// A packet that has stopped for so long is none: somebody types.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the device is on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready = 2,
    Provisioning = 3,
    Provisioned = 4,
}

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    None = 0,
    Invalid = 1,
    Unknown = 2,
    UnableToConnect = 3,
}

/// What a packet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    SetWifi(Wifi),
    State,
    Information,
    Scan,
}

/// Numbers of the commands.
pub(crate) const SET_WIFI: u8 = 1;
pub(crate) const STATE: u8 = 2;
pub(crate) const INFORMATION: u8 = 3;
pub(crate) const SCAN: u8 = 4;

/// What became of a byte of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is or may be part of a packet.
    Held,
    /// The packet is whole: a command, or why it is none.
    Packet(Result<Command, Error>),
    /// It is for the console, and before it come these that were held.
    Console(&'static [u8]),
}

/// Finds packets among the bytes of the console.
#[derive(Debug, Default)]
pub(crate) struct Improv {
    /// As much of a packet as has come.
    bytes: Vec<u8>,
    last: Instant,
}

impl Improv {
    pub(crate) fn push(&mut self, byte: u8, now: Instant) -> Taken {
        if now > self.last + PATIENCE {
            // What was held is not given to the console any more: half a line of long ago belongs to nothing.
            self.bytes = Vec::new();
        }
        self.last = now;
        let held = self.bytes.len();
        if let Some(expected) = HEADER.get(held)
            && byte != *expected
        {
            // The header begins with a byte that does not come again in it.
            self.bytes.clear();
            if held > 0 && byte == b'I' {
                self.bytes.push(byte);
                return Taken::Held;
            }
            return Taken::Console(HEADER.get(..held).unwrap_or_default());
        }
        self.bytes.push(byte);
        let Some([kind, length, rest @ ..]) = self.bytes.get(HEADER.len()..) else { return Taken::Held };
        if rest.len() <= usize::from(*length) {
            return Taken::Held;
        }
        let (kind, packet) = (*kind, core::mem::take(&mut self.bytes));
        match packet.split_last() {
            Some((stated, sealed)) if sum(sealed) == *stated && kind == 3 => {
                Taken::Packet(command(sealed.get(HEADER.len() + 2..).unwrap_or_default()))
            }
            _ => Taken::Packet(Err(Error::Invalid)),
        }
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn command(data: &[u8]) -> Result<Command, Error> {
    let [number, length, data @ ..] = data else { return Err(Error::Invalid) };
    if usize::from(*length) != data.len() {
        return Err(Error::Invalid);
    }
    match *number {
        SET_WIFI => wifi(data).map(Command::SetWifi).ok_or(Error::Invalid),
        STATE => Ok(Command::State),
        INFORMATION => Ok(Command::Information),
        SCAN => Ok(Command::Scan),
        _ => Err(Error::Unknown),
    }
}

fn wifi(data: &[u8]) -> Option<Wifi> {
    let (ssid, rest) = text(data)?;
    let (passphrase, rest) = text(rest)?;
    let passphrase = match core::str::from_utf8(passphrase).ok()? {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    rest.is_empty().then(|| Wifi { passphrase, ..Wifi::new(ssid) })
}

/// Bytes behind their length.
fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, data) = data.split_first()?;
    data.split_at_checked((*length).into())
}

pub(crate) fn state(state: State) -> Vec<u8> {
    packet(1, &[state as u8])
}

pub(crate) fn error(error: Error) -> Vec<u8> {
    packet(2, &[error as u8])
}

/// The result of a command: as many of the strings as fit.
pub(crate) fn result(command: u8, strings: &[String]) -> Vec<u8> {
    let mut list = Vec::new();
    for string in strings {
        if let Ok(length) = u8::try_from(string.len())
            && list.len() + string.len() < 250
        {
            list.push(length);
            list.extend_from_slice(string.as_bytes());
        }
    }
    let mut data = Vec::from([command, u8::try_from(list.len()).unwrap_or(u8::MAX)]);
    data.extend_from_slice(&list);
    packet(4, &data)
}

fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(HEADER);
    bytes.extend_from_slice(&[kind, u8::try_from(data.len()).unwrap_or(u8::MAX)]);
    bytes.extend_from_slice(data);
    bytes.push(sum(&bytes));
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use espbroker_config::{model::Passphrase, secret::Secret};
    use proptest::prelude::*;

    use super::*;

    /// What the console gets of bytes that come at once, and the packets among them.
    fn taken(bytes: &[u8]) -> (Vec<u8>, Vec<Result<Command, Error>>) {
        let (mut improv, mut console, mut packets) = (Improv::default(), Vec::new(), Vec::new());
        for &byte in bytes {
            match improv.push(byte, Duration::ZERO) {
                Taken::Held => {}
                Taken::Packet(packet) => packets.push(packet),
                Taken::Console(before) => {
                    console.extend_from_slice(before);
                    console.push(byte);
                }
            }
        }
        (console, packets)
    }

    fn rpc(data: &[u8]) -> Vec<u8> {
        let mut bytes = packet(3, data);
        bytes.pop();
        bytes
    }

    #[test]
    fn every_command_is_read() {
        // The document's own example.
        let data = b"\x01\x1E\x0CMyWirelessAP\x10mysecurepassword";
        let wifi = Wifi {
            passphrase: Some(Passphrase::Text(Secret::new("mysecurepassword".to_string()))),
            ..Wifi::new("MyWirelessAP")
        };
        assert_eq!(taken(&rpc(data)), (vec![], vec![Ok(Command::SetWifi(wifi))]));
        assert_eq!(taken(&rpc(b"\x01\x05\x03net\x00")).1, [Ok(Command::SetWifi(Wifi::new("net")))]);
        assert_eq!(taken(&rpc(b"\x02\x00")).1, [Ok(Command::State)]);
        assert_eq!(taken(&rpc(b"\x03\x00")).1, [Ok(Command::Information)]);
        assert_eq!(taken(&rpc(b"\x04\x00")).1, [Ok(Command::Scan)]);
        assert_eq!(taken(&rpc(b"\x07\x00")).1, [Err(Error::Unknown)]);
    }

    #[test]
    fn packets_are_as_the_document_has_them() {
        assert_eq!(state(State::Ready), b"IMPROV\x01\x01\x01\x02\xE2\n");
        assert_eq!(error(Error::UnableToConnect)[7..10], [2, 1, 3]);
        let strings = ["ab".to_string(), String::new()];
        assert_eq!(result(3, &strings)[7..15], [4, 6, 3, 4, 2, b'a', b'b', 0]);
        assert_eq!(result(4, &[])[7..11], [4, 2, 4, 0]);
        let long = result(3, &["x".repeat(240), "y".repeat(20)]);
        assert_eq!(long.len(), 7 + 2 + 2 + 241 + 2, "what does not fit is left out");
    }

    #[test]
    fn what_is_no_command_is_told() {
        let wrong: [&[u8]; 7] = [
            b"",
            b"\x01",
            b"\x02\x01",
            b"\x01\x02\x05n",
            b"\x01\x06\x03net\x01a",
            b"\x01\x07\x03net\x00xy",
            b"\x01\x0E\x03net\x09\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ];
        for data in wrong {
            assert_eq!(taken(&rpc(data)).1, [Err(Error::Invalid)], "{data:?}");
        }
        let mut damaged = rpc(b"\x02\x00");
        damaged[10] ^= 1;
        assert_eq!(taken(&damaged).1, [Err(Error::Invalid)]);
        assert_eq!(taken(&packet(1, &[2])[..11]).1, [Err(Error::Invalid)], "what only a device sends");
    }

    #[test]
    fn the_console_gets_every_byte_that_is_no_packet() {
        for line in ["status\r\n", "IMP\r\n", "IMPROV\n", "IIIMPROVE\n", "x IMPROV\x02\n"] {
            let (console, packets) = taken(line.as_bytes());
            // A header that begins anew takes the beginning of the one before with it.
            assert!(line.ends_with(core::str::from_utf8(&console).unwrap()), "{line:?}");
            assert_eq!(packets, []);
        }
        let bytes = [b"sta", &*rpc(b"\x02\x00"), b"\ntus\n"].concat();
        assert_eq!(taken(&bytes), (b"sta\ntus\n".to_vec(), vec![Ok(Command::State)]));
    }

    #[test]
    fn a_packet_that_stops_does_not_hold_the_console() {
        let mut improv = Improv::default();
        for &byte in b"IMPROV\x01\x03\xFFxxx" {
            assert_eq!(improv.push(byte, Duration::ZERO), Taken::Held);
        }
        assert_eq!(improv.push(b's', Duration::from_secs(3)), Taken::Console(b""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_a_packet_behind_them_too(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            begins in any::<bool>(),
        ) {
            let mut improv = Improv::default();
            let header = HEADER.iter().filter(|_| begins);
            for byte in header.chain(&bytes) {
                improv.push(*byte, Duration::ZERO);
                prop_assert!(improv.bytes.len() <= HEADER.len() + 2 + 255);
            }
            let packets = rpc(b"\x02\x00").into_iter().map(|byte| improv.push(byte, Duration::from_secs(9)));
            prop_assert_eq!(packets.last(), Some(Taken::Packet(Ok(Command::State))));
        }
    }
}
