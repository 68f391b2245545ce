//! MQTT over WebSocket (MQTT 3.1.1 §6).

use espbroker_broker::{CloseReason, ConnectionId, Input, Transport, WebSocketError};
use espbroker_mqtt::{Connect, Packet};

use crate::{
    packets::persistent,
    script::{Script, encoded, plain, publish, will},
};

/// The opening handshake of RFC 6455 §1.3 at MQTT's path.
const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, mqtt\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// A frame of less than 126 bytes as a client sends it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

impl Script {
    /// Accepts a WebSocket and goes through its opening handshake.
    #[track_caller]
    pub(crate) fn open_websocket(&mut self, connection: u16) {
        let transport = Transport::WebSocket;
        self.handle(Input::Accepted { connection: ConnectionId(connection), transport });
        self.bytes(connection, REQUEST);
        self.gets(connection, ANSWER);
    }

    /// Opens a WebSocket and connects over it.
    #[track_caller]
    pub(crate) fn join_websocket(&mut self, connection: u16, connect: Connect<'_>) {
        self.open_websocket(connection);
        self.bytes(connection, &frame(0x82, &encoded(&[Packet::Connect(connect)])));
        self.gets(connection, b"\x82\x04\x20\x02\x00\x00");
    }
}

// [MQTT-6.0.0-4]
#[test]
fn the_subprotocol_is_mqtt() {
    let mut script = Script::open();
    script.open_websocket(1);
    assert_eq!(script.end(1), None);
}

// [MQTT-6.0.0-1], [MQTT-7.1.1-1]
#[test]
fn packets_travel_in_binary_frames_to_and_from_the_same_broker_as_over_tcp() {
    let mut script = Script::open();
    script.join(2, "tcp");
    script.subscribe(2, &["+"]);
    script.join_websocket(1, plain("web"));
    script.bytes(1, &frame(0x82, b"\x82\x08\x00\x01\x00\x03t/+\x01"));
    script.gets(1, b"\x82\x05\x90\x03\x00\x01\x01");
    script.bytes(2, b"\x32\x09\x00\x03t/x\x00\x07hi");
    script.gets(2, b"\x40\x02\x00\x07");
    script.gets(1, b"\x82\x0b\x32\x09\x00\x03t/x\x00\x01hi");
    script.bytes(1, &frame(0x82, b"\x40\x02\x00\x01"));
    script.bytes(1, &frame(0x82, b"\x30\x04\x00\x01ax"));
    script.gets(2, b"\x30\x04\x00\x01ax");
    assert_eq!(script.counters().unexpected_acknowledgements, 0);
}

// [MQTT-6.0.0-1]
#[test]
fn a_text_frame_closes_the_connection_with_the_will() {
    let mut script = Script::open();
    script.join(2, "watch");
    script.subscribe(2, &["w"]);
    script.join_websocket(1, Connect { will: Some(will("w", b"gone")), ..plain("web") });
    script.bytes(1, &frame(0x81, b"\xc0\x00"));
    script.gets(1, b"\x88\x02\x03\xeb");
    assert_eq!(script.end(1), Some(CloseReason::WebSocket(WebSocketError::Text)));
    script.expect(2, &[publish("w", b"gone")]);
}

// [MQTT-6.0.0-2]
#[test]
fn packets_need_not_begin_or_end_with_a_frame() {
    let stream = encoded(&[
        Packet::Connect(plain("web")),
        publish("t", b"1"),
        Packet::Pingreq,
        publish("t", b"2"),
        Packet::Disconnect,
    ]);
    for size in 1..=stream.len() {
        for fragmented in [false, true] {
            let mut script = Script::open();
            script.join(2, "tcp");
            script.subscribe(2, &["t"]);
            script.open_websocket(1);
            let pieces = stream.chunks(size).enumerate();
            let last = pieces.len() - 1;
            for (index, piece) in pieces {
                let first = match (fragmented, index) {
                    (false, _) => 0x82,
                    (true, 0) if last == 0 => 0x82,
                    (true, 0) => 0x02,
                    (true, _) if index == last => 0x80,
                    (true, _) => 0x00,
                };
                script.bytes(1, &frame(first, piece));
            }
            script.gets(1, b"\x82\x04\x20\x02\x00\x00\x82\x02\xd0\x00\x88\x02\x03\xe8");
            assert_eq!(script.end(1), Some(CloseReason::Disconnected));
            script.expect(2, &[publish("t", b"1"), publish("t", b"2")]);
        }
    }
}

// [MQTT-7.1.1-1]
#[test]
fn a_session_goes_on_over_the_other_transport() {
    let mut script = Script::open();
    script.connect(1, persistent("a"));
    script.bytes(1, b"\x82\x06\x00\x01\x00\x01t\x01");
    script.gets(1, b"\x90\x03\x00\x01\x01");
    script.drop_link(1);
    script.join(2, "b");
    script.bytes(2, b"\x32\x06\x00\x01t\x00\x07x");
    script.open_websocket(1);
    script.bytes(1, &frame(0x82, &encoded(&[Packet::Connect(persistent("a"))])));
    script.gets(1, b"\x82\x04\x20\x02\x01\x00\x82\x08\x32\x06\x00\x01t\x00\x01x");
}
