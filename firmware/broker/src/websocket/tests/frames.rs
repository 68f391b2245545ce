use alloc::{format, string::ToString, vec, vec::Vec};

use super::{Event, after_handshake, frame, open, run};
use crate::{
    room::Room,
    websocket::{State, Step, WebSocket, WebSocketError, frame::Frames},
};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn data(bytes: &[u8]) -> Event {
    Event::Data(bytes.to_vec())
}

/// The examples of RFC 6455 §5.7, as binary frames.
#[test]
fn the_examples_of_the_standard() {
    let hello = b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(after_handshake(hello), [data(b"Hello")]);
    let mut fragments = frame(0x02, b"Hel", MASK);
    fragments.extend(frame(0x80, b"lo", MASK));
    assert_eq!(after_handshake(&fragments), [data(b"Hello")]);
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(after_handshake(ping), [Event::Pong(b"\x8a\x05Hello".to_vec())]);
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(after_handshake(pong), []);
    assert_eq!(*WebSocket::data_header(256), b"\x82\x7e\x01\x00"[..]);
    assert_eq!(*WebSocket::data_header(65_536), b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"[..]);
}

#[test]
fn the_examples_of_the_standard_that_a_server_must_refuse() {
    for (bytes, error) in [
        (&b"\x81\x05Hello"[..], WebSocketError::Text),
        (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", WebSocketError::Text),
        (b"\x01\x03Hel\x80\x02lo", WebSocketError::Text),
        (b"\x82\x05Hello", WebSocketError::Unmasked),
        (b"\x89\x05Hello", WebSocketError::Unmasked),
    ] {
        assert_eq!(after_handshake(bytes), [Event::Failed(error)]);
    }
}

#[test]
fn payloads_on_both_sides_of_every_length_field() {
    for length in [0, 1, 125, 126, 127, 255, 256, 257, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
        let events = after_handshake(&frame(0x82, &payload, MASK));
        assert_eq!(events, Vec::from_iter((length > 0).then(|| data(&payload))));
    }
}

#[test]
fn our_header_is_the_shortest_for_the_length() {
    for (length, header) in [
        (0, &b"\x82\x00"[..]),
        (2, b"\x82\x02"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (268_435_460, b"\x82\x7f\x00\x00\x00\x00\x10\x00\x00\x04"),
    ] {
        assert_eq!(*WebSocket::data_header(length), *header);
    }
}

#[test]
fn a_packet_may_lie_in_many_frames_and_a_frame_hold_many_packets() {
    let mut bytes = frame(0x02, b"", MASK);
    bytes.extend(frame(0x00, b"\x30", MASK));
    bytes.extend(frame(0x80, b"\x03\x00\x01a\xc0\x00\xc0", MASK));
    bytes.extend(frame(0x82, b"\x00", MASK));
    assert_eq!(after_handshake(&bytes), [data(b"\x30\x03\x00\x01a\xc0\x00\xc0\x00")]);
}

#[test]
fn control_frames_may_lie_between_fragments() {
    let mut bytes = frame(0x02, b"one ", MASK);
    bytes.extend(frame(0x89, b"?", MASK));
    bytes.extend(frame(0x8a, b"nobody asked", MASK));
    bytes.extend(frame(0x00, b"two ", MASK));
    bytes.extend(frame(0x89, b"", MASK));
    bytes.extend(frame(0x80, b"three", MASK));
    bytes.extend(frame(0x88, b"", MASK));
    let events = [
        data(b"one "),
        Event::Pong(b"\x8a\x01?".to_vec()),
        data(b"two "),
        Event::Pong(b"\x8a\x00".to_vec()),
        data(b"three"),
        Event::Close(b"\x88\x00".to_vec()),
    ];
    assert_eq!(after_handshake(&bytes), events);
}

#[test]
fn the_longest_ping_is_answered_whole() {
    let pong = [&b"\x8a\x7d"[..], &[7; 125]].concat();
    assert_eq!(after_handshake(&frame(0x89, &[7; 125], MASK)), [Event::Pong(pong)]);
}

#[test]
fn a_frame_longer_than_any_memory_is_handed_on_as_it_arrives() {
    let mut websocket = open();
    let header = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(run(&mut websocket, [&header[..]]), []);
    for _ in 0..10 {
        assert_eq!(run(&mut websocket, [&[0x30; 1000][..]]), [data(&[0x30; 1000])]);
        assert_eq!(websocket.memory(), size_of::<WebSocket>());
    }
}

#[test]
fn a_control_frame_takes_memory_only_until_its_end_arrives() {
    let mut websocket = open();
    let ping = frame(0x89, b"Hello", MASK);
    assert_eq!(run(&mut websocket, [&ping[..8]]), []);
    assert!((size_of::<WebSocket>() + 125..200).contains(&websocket.memory()));
    assert_eq!(run(&mut websocket, [&ping[8..]]), [Event::Pong(b"\x8a\x05Hello".to_vec())]);
    assert_eq!(websocket.memory(), size_of::<WebSocket>());
}

#[test]
fn a_frame_is_refused_at_the_byte_that_shows_its_fault() {
    for (bytes, error) in [
        (&b"\xc2"[..], WebSocketError::ReservedBits),
        (b"\xa2", WebSocketError::ReservedBits),
        (b"\x92", WebSocketError::ReservedBits),
        (b"\xf8", WebSocketError::ReservedBits),
        (b"\x83", WebSocketError::Opcode),
        (b"\x87", WebSocketError::Opcode),
        (b"\x8b", WebSocketError::Opcode),
        (b"\x0f", WebSocketError::Opcode),
        (b"\x80", WebSocketError::Continuation),
        (b"\x00", WebSocketError::Continuation),
        (b"\x82\x80\0\0\0\0\x80", WebSocketError::Continuation),
        (b"\x02\x80\0\0\0\0\x82", WebSocketError::Interleaved),
        (b"\x02\x80\0\0\0\0\x02", WebSocketError::Interleaved),
        (b"\x02\x80\0\0\0\0\x01", WebSocketError::Text),
        (b"\x81", WebSocketError::Text),
        (b"\x01", WebSocketError::Text),
        (b"\x82\x7f", WebSocketError::Unmasked),
        (b"\x88\x00", WebSocketError::Unmasked),
        (b"\x02\x80\0\0\0\0\x80\x01", WebSocketError::Unmasked),
        (b"\x82\xfe\x00\x7d", WebSocketError::LengthNotMinimal),
        (b"\x82\xff\0\0\0\0\0\0\xff\xff", WebSocketError::LengthNotMinimal),
        (b"\x82\xff\x80\0\0\0\0\0\0\0", WebSocketError::Length),
        (b"\x08", WebSocketError::FragmentedControl),
        (b"\x09", WebSocketError::FragmentedControl),
        (b"\x0a", WebSocketError::FragmentedControl),
        (b"\x88\xfe", WebSocketError::ControlTooLong),
        (b"\x89\xfe", WebSocketError::ControlTooLong),
        (b"\x8a\xff", WebSocketError::ControlTooLong),
        (b"\x88\x81\0\0\0\0\x03", WebSocketError::TruncatedCloseCode),
        (b"\x88\x82\0\0\0\0\x03\xed", WebSocketError::CloseCode(1005)),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", WebSocketError::CloseReasonNotUtf8),
    ] {
        let mut websocket = open();
        let (last, before) = bytes.split_last().unwrap();
        assert_eq!(run(&mut websocket, [before]), [], "{bytes:x?}");
        let behind = [&[*last], &b"\x82\x81\0\0\0\0x"[..]].concat();
        assert_eq!(run(&mut websocket, [&behind[..]]), [Event::Failed(error)], "{bytes:x?}");
        assert_eq!(websocket.memory(), size_of::<WebSocket>());
    }
}

#[test]
fn a_failure_is_answered_with_its_status_code() {
    for (error, code, text) in [
        (WebSocketError::Unmasked, 1002_u16, "frame without a mask"),
        (WebSocketError::ReservedBits, 1002, "reserved bit of a frame is set"),
        (WebSocketError::Opcode, 1002, "reserved opcode"),
        (WebSocketError::Continuation, 1002, "continuation frame with nothing to continue"),
        (WebSocketError::Interleaved, 1002, "new message inside a fragmented one"),
        (WebSocketError::LengthNotMinimal, 1002, "frame length in more bytes than it needs"),
        (WebSocketError::Length, 1002, "frame length with its highest bit set"),
        (WebSocketError::FragmentedControl, 1002, "control frame in fragments"),
        (WebSocketError::ControlTooLong, 1002, "control frame longer than 125 bytes"),
        (WebSocketError::TruncatedCloseCode, 1002, "closing frame with half a status code"),
        (WebSocketError::CloseCode(1006), 1002, "closing frame with status code: 1006"),
        (WebSocketError::CloseReasonNotUtf8, 1007, "reason in a closing frame is not UTF-8"),
        (WebSocketError::Text, 1003, "text frame"),
    ] {
        let [high, low] = code.to_be_bytes();
        assert_eq!(error.answer(&mut [0; 256]), [0x88, 2, high, low]);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn every_status_code_is_echoed_or_refused() {
    let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for code in 0..=u16::MAX {
        let [high, low] = code.to_be_bytes();
        let bytes = frame(0x88, &[high, low, b'b', b'y', b'e'], MASK);
        let expected = match registered.contains(&code) || (3000..5000).contains(&code) {
            true => Event::Close(vec![0x88, 2, high, low]),
            false => Event::Failed(WebSocketError::CloseCode(code)),
        };
        let mut websocket = WebSocket { state: State::Open(Frames::new()) };
        assert_eq!(run(&mut websocket, [&bytes[..]]), [expected]);
    }
}

#[test]
fn after_a_closing_frame_all_else_is_dropped() {
    let mut websocket = open();
    let mut bytes = frame(0x88, b"\x03\xe8", MASK);
    bytes.extend(frame(0x82, b"too late", MASK));
    assert_eq!(run(&mut websocket, [&bytes[..], b"\xff\xff"]), [Event::Close(b"\x88\x02\x03\xe8".to_vec())]);
    assert_eq!(websocket.close(1000), None);
}

#[test]
fn the_server_closes_once_and_then_reads_nothing() {
    let mut websocket = open();
    assert_eq!(websocket.close(1001), Some([0x88, 2, 0x03, 0xe9]));
    assert_eq!(websocket.close(1000), None);
    assert_eq!(run(&mut websocket, [&frame(0x82, b"too late", MASK)[..]]), []);
    assert_eq!(websocket.memory(), size_of::<WebSocket>());
}

#[test]
fn the_pieces_of_a_long_frame_fill_the_scratch() {
    let mut websocket = open();
    let bytes = frame(0x82, &[9; 600], MASK);
    let (mut input, mut scratch) = (&bytes[..], [0; 256]);
    let mut lengths = Vec::new();
    while let Ok(Step::Data(piece)) = websocket.next(&mut input, &mut scratch, &mut Room::new(0)) {
        lengths.push(piece.len());
    }
    assert_eq!(format!("{lengths:?}"), "[256, 256, 88]");
}
