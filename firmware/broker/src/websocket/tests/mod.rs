//! The opening handshake and frames by examples, and whole streams by properties.

mod frames;
mod handshake;
mod streams;

use alloc::{string::String, vec, vec::Vec};

use super::{Step, WebSocket, WebSocketError};
use crate::room::Room;

/// The request of RFC 6455 §1.3, for MQTT.
const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
                       Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A step with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Upgraded(String),
    /// All of the stream up to the next other event.
    Data(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
    Failed(WebSocketError),
}

/// Everything that `websocket` makes of `pieces`, each of which it must use up unless it fails.
fn run<'a>(websocket: &mut WebSocket, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut scratch = [0xaa; 256];
    for mut piece in pieces {
        loop {
            let event = match websocket.next(&mut piece, &mut scratch, &mut Room::new(0)) {
                Ok(Step::NeedMore) => break,
                Ok(Step::Upgraded(answer)) => Event::Upgraded(String::from_utf8(answer.to_vec()).unwrap()),
                Ok(Step::Data(bytes)) => {
                    assert!(!bytes.is_empty());
                    if let Some(Event::Data(data)) = events.last_mut() {
                        data.extend_from_slice(bytes);
                        continue;
                    }
                    Event::Data(bytes.to_vec())
                }
                Ok(Step::Pong(frame)) => Event::Pong(frame.to_vec()),
                Ok(Step::Close(frame)) => Event::Close(frame.to_vec()),
                Ok(Step::NoMemory) => panic!("there is memory"),
                Err(error) => Event::Failed(error),
            };
            events.push(event);
        }
        assert_eq!(piece, b"");
    }
    events
}

/// A WebSocket behind its opening handshake.
fn open() -> WebSocket {
    let mut websocket = WebSocket::new();
    assert!(matches!(&run(&mut websocket, [REQUEST.as_bytes()])[..], [Event::Upgraded(_)]));
    websocket
}

/// What a WebSocket behind its opening handshake makes of `bytes`.
fn after_handshake(bytes: &[u8]) -> Vec<Event> {
    run(&mut open(), [bytes])
}

/// A frame as a client sends it, with the shortest length.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    frame
}
