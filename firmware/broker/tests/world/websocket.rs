//! A client's end of a WebSocket (RFC 6455), apart from what the broker has of it.

use espbroker_mqtt::Packet;

use super::Unit;

/// An opening handshake.
pub(crate) const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                                  Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Bytes of the MQTT stream as one binary message.
pub(crate) fn wrap(bytes: &[u8]) -> Vec<u8> {
    frame(0x82, bytes, [0x9a, 0x01, 0xff, 0x40])
}

/// A frame as a client sends it: `first` has FIN and opcode.
pub(crate) fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The unit in the frame that begins `bytes`, and the frame's length; `None` while it is not whole.
pub(super) fn unwrap(bytes: &[u8]) -> Option<(usize, Unit)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, payload) = match second {
        126 => {
            let (length, payload) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), payload)
        }
        127 => {
            let (length, payload) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), payload)
        }
        short => (u64::from(short), rest),
    };
    let length = usize::try_from(length).unwrap();
    let (payload, behind) = payload.split_at_checked(length)?;
    let unit = match first {
        0x82 => {
            assert!(Packet::decode(payload).is_ok(), "no packet: {}", payload.escape_ascii());
            Unit::Packet(payload.to_vec())
        }
        0x8a => Unit::Pong(payload.to_vec()),
        // 1005 stands for no code (RFC 6455 §7.1.5).
        0x88 if payload.is_empty() => Unit::Closing(1005),
        0x88 => Unit::Closing(u16::from_be_bytes(payload.try_into().unwrap())),
        _ => panic!("no frame of ours: {first:#x}"),
    };
    Some((bytes.len() - behind.len(), unit))
}
