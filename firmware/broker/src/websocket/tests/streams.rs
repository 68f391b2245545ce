use alloc::{vec, vec::Vec};

use proptest::{collection, prelude::*, sample::Index};

use super::{Event, REQUEST, after_handshake, frame, open, run};
use crate::websocket::WebSocket;

/// What a client sends.
#[derive(Clone, Debug)]
enum Sending {
    /// One message, cut into fragments, with a control frame behind each.
    Message(Vec<(Vec<u8>, Control)>),
    Control(Control),
}

#[derive(Clone, Debug)]
enum Control {
    None,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        3 => Just(Control::None),
        1 => collection::vec(any::<u8>(), 0..=125).prop_map(Control::Ping),
        1 => collection::vec(any::<u8>(), 0..=125).prop_map(Control::Pong),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => collection::vec(any::<u8>(), 0..20), 4 => collection::vec(any::<u8>(), 100..300), 1 => collection::vec(any::<u8>(), 65_530..65_540)]
}

fn sendings() -> impl Strategy<Value = Vec<Sending>> {
    let sending = prop_oneof![
        4 => collection::vec((payload(), control()), 1..4).prop_map(Sending::Message),
        1 => control().prop_map(Sending::Control),
    ];
    collection::vec(sending, 0..6)
}

/// The frames of `sendings` with the masks in turn, and what is to become of them.
fn encode(sendings: &[Sending], masks: &[[u8; 4]]) -> (Vec<u8>, Vec<Event>) {
    let mut masks = masks.iter().copied().cycle();
    let mut mask = || masks.next().unwrap();
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    let put_control = |bytes: &mut Vec<u8>, events: &mut Vec<Event>, control: &Control| match control {
        Control::None => {}
        Control::Ping(payload) => {
            bytes.extend(frame(0x89, payload, [1, 2, 3, 4]));
            let mut pong = vec![0x8a, u8::try_from(payload.len()).unwrap()];
            pong.extend(payload);
            events.push(Event::Pong(pong));
        }
        Control::Pong(payload) => bytes.extend(frame(0x8a, payload, [0xff, 0, 0x80, 7])),
    };
    for sending in sendings {
        let fragments = match sending {
            Sending::Control(control) => {
                put_control(&mut bytes, &mut events, control);
                continue;
            }
            Sending::Message(fragments) => fragments,
        };
        for (index, (payload, control)) in fragments.iter().enumerate() {
            let opcode = if index == 0 { 2 } else { 0 };
            let last = if index + 1 == fragments.len() { 0x80 } else { 0 };
            bytes.extend(frame(last | opcode, payload, mask()));
            match events.last_mut() {
                _ if payload.is_empty() => {}
                Some(Event::Data(data)) => data.extend(payload),
                _ => events.push(Event::Data(payload.clone())),
            }
            put_control(&mut bytes, &mut events, control);
        }
    }
    (bytes, events)
}

/// `bytes`, cut at `cuts`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    places.into_iter().map(|end| &bytes[core::mem::replace(&mut start, end)..end]).collect()
}

/// That `bytes` mean the same however they are cut, and the memory is bounded.
fn check_splits(new: fn() -> WebSocket, bytes: &[u8], cuts: &[Index]) -> Result<(), TestCaseError> {
    let whole = run(&mut new(), [bytes]);
    let mut websocket = new();
    prop_assert_eq!(&run(&mut websocket, pieces(bytes, cuts)), &whole);
    prop_assert!(websocket.memory() <= 200);
    prop_assert_eq!(&run(&mut new(), bytes.chunks(1)), &whole);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_valid_stream_comes_out_as_it_went_in(
        sendings in sendings(),
        masks in collection::vec(any::<[u8; 4]>(), 1..4),
        cuts in collection::vec(any::<Index>(), 0..8),
    ) {
        let (bytes, events) = encode(&sendings, &masks);
        prop_assert_eq!(&after_handshake(&bytes), &events);
        prop_assert_eq!(&run(&mut open(), pieces(&bytes, &cuts)), &events);
    }

    #[test]
    fn a_damaged_stream_means_the_same_in_any_split(
        sendings in sendings(),
        masks in collection::vec(any::<[u8; 4]>(), 1..4),
        close in collection::vec(any::<u8>(), 0..6),
        damage in collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cuts in collection::vec(any::<Index>(), 0..8),
    ) {
        let (mut bytes, _) = encode(&sendings, &masks);
        bytes.extend(frame(0x88, &close, [9, 8, 7, 6]));
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        check_splits(open, &bytes, &cuts)?;
    }

    #[test]
    fn a_damaged_handshake_means_the_same_in_any_split(
        damage in collection::vec((any::<Index>(), any::<u8>()), 0..3),
        behind in collection::vec(any::<u8>(), 0..20),
        cuts in collection::vec(any::<Index>(), 0..8),
    ) {
        let mut bytes = REQUEST.as_bytes().to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.extend(behind);
        check_splits(WebSocket::new, &bytes, &cuts)?;
    }

    #[test]
    fn any_bytes_mean_the_same_in_any_split(
        bytes in collection::vec(any::<u8>(), 0..200),
        cuts in collection::vec(any::<Index>(), 0..8),
    ) {
        check_splits(WebSocket::new, &bytes, &cuts)?;
        check_splits(open, &bytes, &cuts)?;
    }
}
