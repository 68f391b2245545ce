//! What a serial line can do: any bytes in any pieces, frames cut short, more than the ring holds.

use espbroker_stub::{Lost, Next, Operation, RING, Receiver};
use proptest::prelude::*;

use crate::model::{Bench, FLASH, block_request, escaped, program, request, words};

#[test]
fn bytes_may_come_one_by_one_and_between_frames_anything() {
    let mut bench = Bench::blank();
    for &byte in b"noise".iter().chain(&request(0xE2, 0, &[0xC0, 0xDB, 1])) {
        bench.line(&[byte]);
        bench.poll();
    }
    assert_eq!(bench.wait().data, [0xC0, 0xDB, 1]);
    bench.line(&[0xC0; 20]);
    bench.line(&[0xDB, 0xC0, 0xC0]);
    assert_eq!(bench.run(Operation::Echo, b"x").data, b"x");
}

#[test]
fn a_frame_that_is_shorter_or_longer_than_it_says_is_refused() {
    let mut bench = Bench::blank();
    let frame = [&[0, 0xE2, 4, 0, 0, 0, 0, 0][..], b"abc"].concat();
    bench.line(&escaped(&frame));
    assert_eq!(bench.wait().error, Some(0xC0));
    bench.line(&escaped(&[&frame[..], b"de"].concat()));
    assert_eq!(bench.wait().error, Some(0xC0));
    // Without a whole header, or with another direction, it is nothing.
    bench.line(&escaped(&frame[..7]));
    bench.line(&escaped(&[1, 0xE2, 0, 0, 0, 0, 0, 0]));
    bench.rest();
    assert_eq!(bench.response(), None);
}

#[test]
fn a_wrong_escape_and_bytes_that_the_uart_lost_cut_a_frame() {
    let mut bench = Bench::blank();
    let mut frame = request(0xE2, 0, b"abcd");
    frame[11] = 0xDB;
    bench.line(&frame);
    assert_eq!(bench.wait().error, Some(0xC0));
    let frame = request(0xE2, 0, b"abcd");
    bench.line(&frame[..5]);
    let mut rest = frame[5..].iter().copied();
    bench.receiver.interrupt(Lost::Some, || rest.next());
    assert_eq!(bench.wait().error, Some(0xC0));
    assert_eq!(bench.run(Operation::Echo, b"x").data, b"x");
}

#[test]
fn a_ring_that_is_full_refuses_one_frame_and_keeps_the_others() {
    let mut bench = Bench::blank();
    let frame = request(0xE2, 0, &[7; 4000]);
    for _ in 0..20 {
        bench.line(&frame);
    }
    let mut responses = Vec::new();
    for _ in 0..200 {
        bench.poll();
        responses.extend(bench.response());
    }
    let whole = responses.iter().filter(|response| response.error.is_none()).count();
    let refused = responses.iter().filter(|response| response.error == Some(0xC0)).count();
    assert_eq!(whole, RING / 4010);
    assert_eq!(whole + refused, responses.len());
    assert!(refused <= 1);
    assert_eq!(bench.run(Operation::Echo, b"x").data, b"x");
}

#[test]
fn an_endless_frame_is_no_end() {
    let mut bench = Bench::blank();
    for _ in 0..3 {
        bench.line(&vec![0x55; 100_000]);
        bench.rest();
    }
    bench.line(&[0xC0]);
    bench.rest();
    let _ = std::iter::from_fn(|| bench.frame()).count();
    assert_eq!(bench.run(Operation::Echo, b"x").data, b"x");
}

/// Frames through a ring of another size, in any pieces.
fn through<const N: usize>(frames: &[Vec<u8>], pieces: &[usize]) {
    let receiver = Box::new(Receiver::<N>::new());
    let mut buffers = espbroker_stub::Buffers::new();
    let mut chip = crate::model::Model::new(vec![0xFF; FLASH]);
    let mut stub = espbroker_stub::Stub::start(&mut buffers, &mut chip);
    let mut lengths = pieces.iter().copied().cycle();
    for frame in frames {
        let request = request(0xE2, 0, frame);
        let mut rest = &request[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
            let mut bytes = piece.iter().copied();
            receiver.interrupt(Lost::None, || bytes.next());
            rest = after;
        }
        chip.sent.clear();
        assert_eq!(stub.poll(&mut chip, &receiver), Next::Poll);
        let mut expected = vec![1, 0xE2];
        expected.extend((frame.len() as u16 + 2).to_le_bytes());
        expected.extend([0; 4]);
        expected.extend(frame);
        expected.extend([0, 0]);
        assert_eq!(chip.sent, escaped(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn frames_go_round_a_ring_in_any_pieces(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..40),
        pieces in proptest::collection::vec(1..30_usize, 1..6),
    ) {
        through::<97>(&frames, &pieces);
        through::<128>(&frames, &pieces);
    }

    #[test]
    fn any_bytes_in_any_pieces_leave_a_stub_that_answers(
        bytes in proptest::collection::vec(prop_oneof![2 => any::<u8>(), 1 => Just(0xC0), 1 => Just(0), 1 => 2..20_u8], 0..2000),
        pieces in proptest::collection::vec(1..200_usize, 1..6),
    ) {
        let mut bench = Bench::new(program(FLASH, 3));
        let mut rest = &bytes[..];
        for length in pieces.into_iter().cycle() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            bench.line(piece);
            bench.poll();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        bench.line(&[0xC0]);
        bench.settle();
        prop_assert_eq!(bench.run(Operation::Echo, b"still here").data, b"still here");
    }

    /// Requests that look right, with any numbers in them.
    #[test]
    fn any_numbers_in_any_requests_leave_a_stub_that_answers(
        requests in proptest::collection::vec(
            (0..23_usize, proptest::collection::vec(prop_oneof![0..0x2000_u32, any::<u32>(), Just(0x1000)], 0..8)),
            1..12,
        ),
    ) {
        let mut bench = Bench::new(program(FLASH, 3));
        for (operation, numbers) in requests {
            let operation = Operation::ALL[operation].0;
            if let Operation::FlashData | Operation::FlashDeflateData | Operation::MemData = operation {
                let sequence = numbers.first().copied().unwrap_or(0) % 3;
                bench.line(&block_request(operation, sequence, &words(&numbers)));
            } else {
                bench.line(&request(operation as u8, 0, &words(&numbers)));
            }
            bench.settle();
            bench.next = Next::Poll;
            bench.settle();
        }
        prop_assert_eq!(bench.run(Operation::Echo, b"still here").data, b"still here");
    }
}
