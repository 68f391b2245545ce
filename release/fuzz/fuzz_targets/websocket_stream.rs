//! Any bytes in any split from a client over WebSocket: no panic, the same answers however they were cut, and a client
//! that has left leaves no memory behind.
//!
//! The first byte says what goes before the others, and the second how they are cut.
#![no_main]

use espbroker_broker::{
    Anonymous, Broker, CloseReason, ConnectionId, Input, Instant, NoAccounts, Output, Settings, Transport,
};
use libfuzzer_sys::fuzz_target;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
                         Sec-WebSocket-Version: 13\r\n\r\n";

/// CONNECT of client `a` and SUBSCRIBE to `#` at QoS 2 in two frames, whose masks of zeros leave them readable.
const JOIN: &[u8] =
    b"\x82\x8f\0\0\0\0\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a\x82\x88\0\0\0\0\x82\x06\0\x01\0\x01#\x02";

/// Longest piece that a client which reads its answers may send at once.
const LONGEST: usize = 2048;

/// What the client got, and why it was closed.
fn run(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<CloseReason>) {
    let settings = Settings {
        anonymous: Anonymous::Allowed,
        retained_messages: 0,
        sessions: 0,
        system_interval: 0,
        ..Settings::default()
    };
    let mut broker = Broker::new(settings, NoAccounts);
    let (empty, now) = (broker.memory(), Instant(5));
    let connection = ConnectionId(1);
    broker.handle(Input::Accepted { connection, transport: Transport::WebSocket }, now);
    let (mut got, mut end) = (Vec::new(), None);
    for piece in bytes.chunks(piece) {
        broker.handle(Input::Received { connection, bytes: piece }, now);
        while let Some(output) = broker.poll_output() {
            assert_eq!(end, None, "something after the end");
            match output {
                Output::Send { connection, bytes } => {
                    got.extend_from_slice(&bytes);
                    broker.handle(Input::Sent { connection, bytes: bytes.len() }, now);
                }
                Output::Close { reason, .. } => end = Some(reason),
                Output::Open { .. } | Output::Abandon { .. } | Output::Bridge { .. } => unreachable!(),
            }
        }
        if end.is_some() {
            break;
        }
    }
    broker.handle(Input::Closed { connection }, now);
    assert_eq!(broker.poll_output(), None);
    assert_eq!(broker.memory(), empty);
    (got, end)
}

fuzz_target!(|bytes: &[u8]| {
    let &[before, cut, ref bytes @ ..] = bytes else { return };
    let before = match before % 4 {
        0 => vec![],
        1 => REQUEST.to_vec(),
        _ => [REQUEST, JOIN].concat(),
    };
    let bytes = [&before, bytes].concat();
    assert_eq!(run(&bytes, usize::from(cut) + 1), run(&bytes, LONGEST));
});
