//! News: what the outside tells the firmware, as inputs of its node.
//!
//! The first byte is the kind; what a client has sent is last and goes to the end.

use espbroker_node::{
    BridgeId, ConnectionId, Input, OpenFailure, StationEvent,
    status::{ListenFailure, Mode},
};

use crate::words::{CHANNELS, Malformed, Reader, SERVICES, Writer, place};

const ASSOCIATED: u8 = 1;
const DISCONNECTED: u8 = 2;
const ADDRESS: u8 = 3;
const ACCESS_POINT_UP: u8 = 4;
const LISTENING: u8 = 5;
const LISTEN_FAILED: u8 = 6;
const ACCEPTED: u8 = 7;
const RECEIVED: u8 = 8;
const SENT: u8 = 9;
const CLOSED: u8 = 10;
const OPENED: u8 = 11;
const OPEN_FAILED: u8 = 12;
const DATAGRAM: u8 = 13;

const LISTEN_FAILURES: &[ListenFailure] =
    &[ListenFailure::InUse, ListenFailure::Denied, ListenFailure::NotSupported, ListenFailure::Other];
const OPEN_FAILURES: &[OpenFailure] = &[
    OpenFailure::NameNotFound,
    OpenFailure::Refused,
    OpenFailure::Unreachable,
    OpenFailure::TimedOut,
    OpenFailure::Other,
];

/// Writes the head of news, and bytes behind it; gives the length of both.
///
/// `None` when they do not fit, or the input is none from outside. The network that a client comes through is left out:
/// the device knows.
pub fn write_news(input: &Input<'_>, bytes: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(bytes);
    match input {
        Input::Station(StationEvent::Associated { channel, rssi }) => {
            writer.byte(ASSOCIATED);
            writer.byte(*channel);
            writer.byte(rssi.cast_unsigned());
        }
        Input::Station(StationEvent::Disconnected { code }) => {
            writer.byte(DISCONNECTED);
            writer.half(*code);
        }
        Input::Station(StationEvent::Address { ip }) => {
            writer.byte(ADDRESS);
            writer.ip(*ip);
        }
        Input::AccessPointUp { ip } => {
            writer.byte(ACCESS_POINT_UP);
            writer.ip(*ip);
        }
        Input::Listening { service, port } => {
            writer.byte(LISTENING);
            writer.byte(place(SERVICES, service));
            writer.half(*port);
        }
        Input::ListenFailed { service, reason } => {
            writer.byte(LISTEN_FAILED);
            writer.byte(place(SERVICES, service));
            writer.byte(place(LISTEN_FAILURES, reason));
        }
        Input::Accepted { connection, service, .. } => {
            writer.byte(ACCEPTED);
            writer.half(connection.0);
            writer.byte(place(SERVICES, service));
        }
        Input::Received { connection, bytes } => {
            writer.byte(RECEIVED);
            writer.half(connection.0);
            writer.bytes(bytes);
        }
        Input::Sent { connection, bytes } => {
            writer.byte(SENT);
            writer.half(connection.0);
            writer.word(u32::try_from(*bytes).ok()?);
        }
        Input::Closed { connection } => {
            writer.byte(CLOSED);
            writer.half(connection.0);
        }
        Input::Opened { bridge, connection } => {
            writer.byte(OPENED);
            writer.byte(bridge.0);
            writer.half(connection.0);
        }
        Input::OpenFailed { bridge, reason } => {
            writer.byte(OPEN_FAILED);
            writer.byte(bridge.0);
            writer.byte(place(OPEN_FAILURES, reason));
        }
        Input::Datagram { channel, from, bytes } => {
            writer.byte(DATAGRAM);
            writer.byte(place(CHANNELS, channel));
            writer.address(*from);
            writer.bytes(bytes);
        }
        _ => return None,
    }
    writer.length()
}

/// Reads news; clients come through the network `mode`.
///
/// # Errors
/// [`Malformed`] unless every byte belongs to it.
pub fn read_news(bytes: &[u8], mode: Mode) -> Result<Input<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let input = match reader.byte()? {
        RECEIVED => {
            let connection = ConnectionId(reader.half()?);
            return Ok(Input::Received { connection, bytes: reader.rest() });
        }
        DATAGRAM => {
            let (channel, from) = (reader.one_of(CHANNELS)?, reader.address()?);
            return Ok(Input::Datagram { channel, from, bytes: reader.rest() });
        }
        ASSOCIATED => {
            let (channel, rssi) = (reader.byte()?, reader.byte()?.cast_signed());
            Input::Station(StationEvent::Associated { channel, rssi })
        }
        DISCONNECTED => Input::Station(StationEvent::Disconnected { code: reader.half()? }),
        ADDRESS => Input::Station(StationEvent::Address { ip: reader.ip()? }),
        ACCESS_POINT_UP => Input::AccessPointUp { ip: reader.ip()? },
        LISTENING => Input::Listening { service: reader.one_of(SERVICES)?, port: reader.half()? },
        LISTEN_FAILED => {
            Input::ListenFailed { service: reader.one_of(SERVICES)?, reason: reader.one_of(LISTEN_FAILURES)? }
        }
        ACCEPTED => {
            let connection = ConnectionId(reader.half()?);
            Input::Accepted { connection, mode, service: reader.one_of(SERVICES)? }
        }
        SENT => {
            let connection = ConnectionId(reader.half()?);
            Input::Sent { connection, bytes: usize::try_from(reader.word()?).map_err(|_| Malformed)? }
        }
        CLOSED => Input::Closed { connection: ConnectionId(reader.half()?) },
        OPENED => {
            let bridge = BridgeId(reader.byte()?);
            Input::Opened { bridge, connection: ConnectionId(reader.half()?) }
        }
        OPEN_FAILED => {
            Input::OpenFailed { bridge: BridgeId(reader.byte()?), reason: reader.one_of(OPEN_FAILURES)? }
        }
        _ => return Err(Malformed),
    };
    reader.end()?;
    Ok(input)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use espbroker_node::{discovery::Channel, status::Service};
    use proptest::prelude::*;

    use super::*;
    use crate::NEWS_HEAD;

    const MODE: Mode = Mode::Station;

    #[test]
    fn all_news_come_through() {
        let ip = "127.0.0.1".parse().unwrap();
        let (connection, bridge) = (ConnectionId(0xFFFE), BridgeId(7));
        let inputs = [
            Input::Station(StationEvent::Associated { channel: 6, rssi: -51 }),
            Input::Station(StationEvent::Disconnected { code: 202 }),
            Input::Station(StationEvent::Address { ip }),
            Input::AccessPointUp { ip },
            Input::Listening { service: Service::Mqtt, port: 1883 },
            Input::ListenFailed { service: Service::WebSocket, reason: ListenFailure::Denied },
            Input::Accepted { connection, mode: MODE, service: Service::WebSocket },
            Input::Received { connection, bytes: b"bytes" },
            Input::Sent { connection, bytes: 70_000 },
            Input::Closed { connection },
            Input::Opened { bridge, connection },
            Input::OpenFailed { bridge, reason: OpenFailure::TimedOut },
            Input::Datagram { channel: Channel::Probe, from: (ip, 5353).into(), bytes: b"bytes" },
        ];
        for input in inputs {
            let mut bytes = [0; NEWS_HEAD + 5];
            let length = write_news(&input, &mut bytes).unwrap();
            let read = read_news(&bytes[..length], MODE).unwrap();
            assert_eq!(format!("{read:?}"), format!("{input:?}"));
        }
    }

    #[test]
    fn what_is_not_from_outside_or_too_long_is_not_written() {
        let mut bytes = [0; 8];
        assert_eq!(write_news(&Input::Tick, &mut bytes), None);
        let received = Input::Received { connection: ConnectionId(1), bytes: &[0; 6] };
        assert_eq!(write_news(&received, &mut bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_news_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = read_news(&bytes, MODE);
        }
    }
}
