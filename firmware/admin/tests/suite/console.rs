//! Frames as lines of text.

use espbroker_admin::{
    FRAME_MAX,
    console::{COMMAND, LINE_MAX, PART_MAX, Parts, bytes, line, text},
};
use proptest::{collection::vec, prelude::*};

#[test]
fn the_longest_frame_has_the_longest_line() {
    let frame = vec![0xFF; FRAME_MAX];
    let line = line(&frame);
    assert!(line.len() <= LINE_MAX && line.len() + 3 > LINE_MAX);
    assert_eq!(bytes(&line.as_bytes()[COMMAND.len()..]), Some(frame));
}

#[test]
fn padding_does_no_harm_and_other_signs_are_refused() {
    assert_eq!(bytes(b"RUI="), Some(b"EB".to_vec()));
    assert_eq!(bytes(b"RUI"), Some(b"EB".to_vec()));
    for wrong in [&b"RU I"[..], b"R", b"RU\xFF", b"RU-_"] {
        assert_eq!(bytes(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_lost_part_gives_no_frame_and_the_next_reply_does() {
    let mut parts = Parts::default();
    assert_eq!(parts.push(1, 3, b"ab"), None);
    assert_eq!(parts.push(3, 3, b"ef"), None);
    assert_eq!(parts.push(2, 3, b"cd"), None);
    assert_eq!(parts.push(1, 1, b"whole"), Some(b"whole".to_vec()));
    assert_eq!(parts.push(0, 0, b""), None);
    assert_eq!(parts.push(2, 2, b"x"), None);
}

proptest! {
    #[test]
    fn a_frame_survives_its_text_and_its_parts(frame in vec(any::<u8>(), 1..2000)) {
        prop_assert_eq!(bytes(text(&frame).as_bytes()), Some(frame.clone()));
        let (mut parts, of) = (Parts::default(), u16::try_from(frame.chunks(PART_MAX).len()).unwrap());
        let mut whole = None;
        for (part, data) in (1..).zip(frame.chunks(PART_MAX)) {
            prop_assert_eq!(whole.take(), None);
            whole = parts.push(part, of, data);
        }
        prop_assert_eq!(whole, Some(frame));
    }

    #[test]
    fn any_text_and_any_parts_are_taken_without_a_panic(
        text in vec(any::<u8>(), 0..100),
        parts in vec((any::<u16>(), any::<u16>(), vec(any::<u8>(), 0..20)), 0..20),
    ) {
        let _ = bytes(&text);
        let mut reader = Parts::default();
        for (part, of, data) in parts {
            let _ = reader.push(part % 5, of % 5, &data);
        }
    }
}
