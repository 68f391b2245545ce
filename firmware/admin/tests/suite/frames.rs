//! What is refused, and what any bytes in any split do.

use espbroker_admin::{
    Effect, FIRST_BYTE, FRAME_MAX, FrameError, FrameReader, Plain, Refusal, Reply, Request, State, Trial,
    client::{OpenError, open_reply, seal},
    device::{Sealer, open},
};
use espbroker_config::slots::{PAYLOAD_MAX, RollBack};
use proptest::{collection::vec, option, prelude::*};

const KEY: [u8; 32] = [7; 32];

/// A reply to `request` from a device with this seed.
fn answer(request: &[u8], seed: u64, reply: &Reply) -> Vec<u8> {
    let origin = open(&mut request.to_vec(), &KEY).unwrap().origin;
    Sealer::new(seed).seal(reply, &KEY, &origin)
}

#[test]
fn a_flipped_bit_anywhere_in_a_request_is_refused() {
    let frame = seal(&Request::Write { base: 1, permit: 2, try_for: 60, config: b"config" }, &KEY, &[3; 24]);
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&mut flipped, &KEY).is_err(), "bit {bit}");
    }
    for length in 0..frame.len() {
        assert!(open(&mut frame[..length].to_vec(), &KEY).is_err(), "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_reply_is_refused() {
    let request = seal(&Request::State, &KEY, &[3; 24]);
    let frame = answer(&request, 1, &Reply::Accepted { sequence: 5, effect: Effect::AtOnce });
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_reply(&flipped, &KEY, &request).is_err(), "bit {bit}");
    }
    for length in 0..frame.len() {
        assert!(open_reply(&frame[..length], &KEY, &request).is_err(), "cut at {length}");
    }
}

#[test]
fn only_the_reply_to_this_very_request_is_taken() {
    let (first, second) = (seal(&Request::State, &KEY, &[3; 24]), seal(&Request::State, &KEY, &[4; 24]));
    let reply = answer(&first, 1, &Reply::Refused(Refusal::Stale));
    assert_eq!(open_reply(&reply, &KEY, &first), Ok(Reply::Refused(Refusal::Stale)));
    assert_eq!(open_reply(&reply, &KEY, &second), Err(OpenError::NotAuthentic));
    assert_eq!(open_reply(&reply, &[8; 32], &first), Err(OpenError::NotAuthentic));
    // A request that comes back, and one that is passed off as a reply.
    assert_eq!(open_reply(&first, &KEY, &first), Err(OpenError::NotAFrame));
    let mut dressed = first.clone();
    dressed[5] = 2;
    assert_eq!(open_reply(&dressed, &KEY, &first), Err(OpenError::NotAuthentic));
    let mut dressed = reply;
    dressed[5] = 1;
    assert!(matches!(open(&mut dressed, &KEY), Err(OpenError::NotAuthentic)));
}

#[test]
fn another_key_opens_nothing() {
    let mut frame = seal(&Request::Read, &[8; 32], &[3; 24]);
    assert!(matches!(open(&mut frame, &KEY), Err(OpenError::NotAuthentic)));
}

#[test]
fn nonces_of_replies_differ_though_the_request_is_the_same() {
    let request = seal(&Request::State, &KEY, &[3; 24]);
    let origin = open(&mut request.clone(), &KEY).unwrap().origin;
    let nonce = |frame: &[u8]| frame[8..32].to_vec();
    let (stale, flash) = (Reply::Refused(Refusal::Stale), Reply::Refused(Refusal::Flash));
    let mut sealer = Sealer::new(1);
    let mut nonces =
        vec![nonce(&sealer.seal(&stale, &KEY, &origin)), nonce(&sealer.seal(&stale, &KEY, &origin))];
    // Another seed, and a device that starts with the same one again and has something else to say.
    nonces.push(nonce(&answer(&request, 2, &stale)));
    nonces.push(nonce(&answer(&request, 1, &flash)));
    for (index, one) in nonces.iter().enumerate() {
        assert!(!nonces[index + 1..].contains(one), "{index}");
    }
}

#[test]
fn a_permit_ends_with_the_write_the_start_and_the_key() {
    let mut sealer = Sealer::new(1);
    let first = sealer.permit(&KEY, 5);
    assert_eq!(sealer.permit(&KEY, 5), first);
    sealer.used();
    let others = [
        sealer.permit(&KEY, 5),
        Sealer::new(1).permit(&KEY, 6),
        Sealer::new(2).permit(&KEY, 5),
        Sealer::new(1).permit(&[8; 32], 5),
    ];
    assert!(!others.contains(&first));
}

#[test]
fn the_longest_config_fits_and_a_longer_frame_is_refused_by_its_header() {
    let config = vec![0xA5; PAYLOAD_MAX];
    let frame = seal(&Request::Write { base: 1, permit: 2, try_for: 60, config: &config }, &KEY, &[3; 24]);
    let mut reader = FrameReader::default();
    let (whole, rest) = reader.push(&frame).unwrap();
    assert_eq!((whole.as_deref(), rest), (Some(&*frame), &[][..]));

    let request = seal(&Request::Read, &KEY, &[3; 24]);
    let reply = Reply::Config { sequence: 1, crc: 2, base: 3, permit: 4, config };
    assert!(answer(&request, 1, &reply).len() <= FRAME_MAX);

    let length = u16::try_from(FRAME_MAX - 8).unwrap() + 1;
    let mut header = frame[..8].to_vec();
    header[6..].copy_from_slice(&length.to_le_bytes());
    assert_eq!(FrameReader::default().push(&header), Err(FrameError::TooLong(length)));
    assert!(reader.is_empty());
}

#[test]
fn what_is_no_frame_shows_at_the_first_wrong_byte() {
    assert_eq!(FrameReader::default().push(&[0x10]), Err(FrameError::Magic));
    assert_eq!(FrameReader::default().push(b"GET /mqtt"), Err(FrameError::Magic));
    assert_eq!(FrameReader::default().push(b"EX"), Err(FrameError::Magic));
    assert_eq!(FrameReader::default().push(b"EBAD\x02"), Err(FrameError::Version(2)));
    assert_eq!(seal(&Request::State, &KEY, &[0; 24])[0], FIRST_BYTE);
    assert_ne!(FIRST_BYTE, 0x10, "what every MQTT client begins with");
}

#[test]
fn memory_follows_the_bytes_that_have_come() {
    let mut reader = FrameReader::default();
    reader.push(&seal(&Request::State, &KEY, &[0; 24])[..6]).unwrap();
    reader.push(&4000_u16.to_le_bytes()).unwrap();
    assert_eq!(reader.len(), 8);
}

fn any_trial() -> impl Strategy<Value = Trial> {
    let reason = (0..=9_u8).prop_map(|number| RollBack::from_number(number).unwrap());
    prop_oneof![
        Just(Trial::None),
        any::<(u32, u16)>().prop_map(|(sequence, left)| Trial::Running { sequence, left }),
        any::<u32>().prop_map(|sequence| Trial::Kept { sequence }),
        (any::<u32>(), reason).prop_map(|(sequence, reason)| Trial::RolledBack { sequence, reason }),
    ]
}

fn any_state() -> impl Strategy<Value = Reply> {
    (any::<[u32; 7]>(), any::<u64>(), any_trial()).prop_map(|(numbers, permit, trial)| {
        let [sequence, crc, base, uptime, kept, rolled_back, wrong_keys] = numbers;
        Reply::State(State { sequence, crc, base, permit, trial, uptime, kept, rolled_back, wrong_keys })
    })
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        any::<u32>().prop_map(|base| Refusal::Changed { base }),
        Just(Refusal::Stale),
        any::<u16>().prop_map(|left| Refusal::Trial { left }),
        ".{0,80}".prop_map(Refusal::Invalid),
        any::<u32>().prop_map(|limit| Refusal::TooLong { limit }),
        Just(Refusal::NotSupported),
        Just(Refusal::Flash),
        (8_u8..).prop_map(Refusal::Other),
    ]
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let effect = prop_oneof![Just(Effect::AtOnce), Just(Effect::Restart)];
    prop_oneof![
        any_state(),
        (any::<[u32; 3]>(), any::<u64>(), vec(any::<u8>(), 0..300)).prop_map(|(numbers, permit, config)| {
            let [sequence, crc, base] = numbers;
            Reply::Config { sequence, crc, base, permit, config }
        }),
        (any::<u32>(), effect).prop_map(|(sequence, effect)| Reply::Accepted { sequence, effect }),
        any_refusal().prop_map(Reply::Refused),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_reply_comes_out_as_it_went_in(reply in any_reply(), seed: u64, nonce: [u8; 24]) {
        let request = seal(&Request::Read, &KEY, &nonce);
        prop_assert_eq!(open_reply(&answer(&request, seed, &reply), &KEY, &request), Ok(reply));
    }

    #[test]
    fn every_write_comes_out_as_it_went_in(
        base: u32,
        permit: u64,
        try_for: u16,
        config in vec(any::<u8>(), 0..300),
        key: [u8; 32],
    ) {
        let request = Request::Write { base, permit, try_for, config: &config };
        let mut frame = seal(&request, &key, &[9; 24]);
        prop_assert_eq!(open(&mut frame, &key).unwrap().request, Some(request));
    }

    #[test]
    fn a_frame_comes_out_of_a_stream_in_any_split(
        config in vec(any::<u8>(), 0..300),
        splits in vec(1_usize..200, 0..20),
        behind in vec(any::<u8>(), 0..8),
    ) {
        let frame = seal(&Request::Write { base: 1, permit: 2, try_for: 3, config: &config }, &KEY, &[9; 24]);
        let stream = [&*frame, &*frame, &*behind].concat();
        let (mut reader, mut found, mut rest, mut splits) = (FrameReader::default(), 0, &*stream, splits.into_iter());
        while found < 2 {
            let (piece, later) = rest.split_at(splits.next().unwrap_or(rest.len()).min(rest.len()));
            let mut piece = piece;
            while found < 2 && !piece.is_empty() {
                let (whole, left) = reader.push(piece).unwrap();
                if let Some(whole) = whole {
                    prop_assert_eq!(&whole, &frame);
                    found += 1;
                }
                piece = left;
            }
            if found == 2 {
                prop_assert_eq!([piece, later].concat(), behind.clone());
            }
            rest = later;
        }
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        begin in option::of(Just(b"EBAD\x01\x01".to_vec())),
        bytes in vec(any::<u8>(), 0..200),
        split in 0_usize..200,
    ) {
        let mut all = begin.unwrap_or_default();
        all.extend(bytes);
        prop_assert!(open(&mut all.clone(), &KEY).is_err());
        prop_assert!(open_reply(&all, &KEY, &all).is_err());
        let (front, back) = all.split_at(split.min(all.len()));
        let mut reader = FrameReader::default();
        let _ = reader.push(front).and_then(|_| reader.push(back));
        prop_assert!(reader.len() <= FRAME_MAX);
    }

    #[test]
    fn any_message_under_the_right_key_is_read_without_a_panic(message in vec(any::<u8>(), 0..60)) {
        // A reply's config may be any bytes, so what stands in it reaches every reader of a reply.
        let request = seal(&Request::Read, &KEY, &[1; 24]);
        let reply = Reply::Config { sequence: 0, crc: 0, base: 0, permit: 0, config: message };
        prop_assert!(open_reply(&answer(&request, 1, &reply), &KEY, &request).is_ok());
    }

    #[test]
    fn a_refusal_in_the_clear_comes_out_as_it_went_in(number: u8) {
        let request = seal(&Request::Read, &KEY, &[1; 24]);
        let frame = Plain::Other(number).frame();
        let Err(OpenError::Plain(plain)) = open_reply(&frame, &KEY, &request) else { panic!("not plain") };
        prop_assert_eq!(plain.frame(), frame);
    }
}
