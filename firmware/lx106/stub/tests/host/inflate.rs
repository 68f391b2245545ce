//! The stub's own inflate against flate2's deflate, and on bytes that are no stream.

use std::io::{Read as _, Write as _};

use espbroker_stub::{Inflate, Progress, Window};
use flate2::Compression;
use proptest::prelude::*;

use crate::model;

/// Unpacks pieces of these lengths in steps of `limit`; nothing where it is invalid, and whether the end came.
fn unpack(stream: &[u8], pieces: &[usize], limit: u32) -> Option<(Vec<u8>, bool)> {
    let mut inflate = Box::new(Inflate::new());
    inflate.restart();
    let mut window = Box::new(Window::new());
    let mut output = Vec::new();
    let mut rest = stream;
    let mut lengths = pieces.iter().copied().cycle();
    loop {
        let (piece, after) =
            rest.split_at(lengths.next().unwrap_or(usize::MAX).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = after;
        let mut input = piece.iter().copied();
        loop {
            let progress = inflate.step(&mut window, &mut input, limit);
            while window.drained() < window.filled() {
                output.push(window.pop());
            }
            match progress.ok()? {
                Progress::Output => {}
                Progress::Input if rest.is_empty() => return Some((output, false)),
                Progress::Input => break,
                Progress::End => return Some((output, true)),
            }
        }
    }
}

fn oracle(stream: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    flate2::read::ZlibDecoder::new(stream).read_to_end(&mut output).ok().map(|_| output)
}

fn packed(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_level_unpacks_to_what_was_packed() {
    let bytes = model::program(200_000, 7);
    for level in [0, 1, 6, 9] {
        assert_eq!(unpack(&packed(&bytes, level), &[1000], 64), Some((bytes.clone(), true)), "level {level}");
    }
}

#[test]
fn matches_reach_back_over_the_whole_window() {
    let mut bytes: Vec<u8> = model::program(32_768, 3);
    bytes.extend_from_within(..5000);
    bytes.extend(vec![0x41; 100_000]);
    assert_eq!(unpack(&packed(&bytes, 9), &[77], 33), Some((bytes, true)));
}

#[test]
fn an_empty_stream_and_one_byte_are_streams() {
    for bytes in [&b""[..], b"x"] {
        assert_eq!(unpack(&packed(bytes, 9), &[1], 1), Some((bytes.to_vec(), true)));
    }
}

/// Vectors by hand: the fixed code with a match, a stored block, a distance code of one length.
#[test]
fn blocks_of_each_kind() {
    // RFC 1951: 3 bits of header 1,1 then literal 'a' (0x61 + 0x30), match of 3 (7 bits, 0000001), distance 1.
    let fixed = [0x78, 0x9C, 0x4B, 0x04, 0x02, 0x00, 0x03, 0xCE, 0x01, 0x85];
    assert_eq!(oracle(&fixed), Some(b"aaaa".to_vec()));
    assert_eq!(unpack(&fixed, &[3], 2), Some((b"aaaa".to_vec(), true)));
    let stored = [0x78, 0x01, 0x01, 0x01, 0x00, 0xFE, 0xFF, 0x61, 0x00, 0x62, 0x00, 0x62];
    assert_eq!(unpack(&stored, &[1], 8), Some((b"a".to_vec(), true)));
}

#[test]
fn what_is_no_stream_is_invalid() {
    let good = packed(&model::program(3000, 1), 9);
    let mut damaged: Vec<Vec<u8>> = vec![
        vec![0x79, 0x9C],
        vec![0x78, 0x9D],
        // A preset dictionary.
        vec![0x78, 0xBB],
        // Block type 3; a stored length without its complement; a distance before the beginning.
        vec![0x78, 0x9C, 0x07],
        vec![0x78, 0x9C, 0x01, 0x01, 0x00, 0xFF, 0xFF],
        vec![0x78, 0x9C, 0x4B, 0x04, 0x12, 0x00],
    ];
    // Checksum.
    for index in 1..=4 {
        let mut stream = good.clone();
        let place = stream.len() - index;
        stream[place] ^= 0x10;
        damaged.push(stream);
    }
    for stream in damaged {
        assert_eq!(unpack(&stream, &[5], 64), None, "{stream:02x?}");
    }
}

#[test]
fn the_beginning_of_a_stream_is_not_its_end() {
    let bytes = model::program(2000, 5);
    let stream = packed(&bytes, 9);
    for length in 0..stream.len() {
        let (output, ended) = unpack(&stream[..length], &[10], 64).expect("no byte of it is wrong");
        assert!(!ended && bytes.starts_with(&output), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces_and_steps(
        bytes in proptest::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..20_000),
        level in 0..=9_u32,
        pieces in proptest::collection::vec(1..500_usize, 1..8),
        limit in 1..300_u32,
    ) {
        prop_assert_eq!(unpack(&packed(&bytes, level), &pieces, limit), Some((bytes, true)));
    }

    #[test]
    fn a_damaged_stream_ends_as_elsewhere_or_is_refused(
        seed in any::<u32>(),
        level in 0..=9_u32,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let mut stream = packed(&model::program(4000, seed), level);
        for (index, bits) in flips {
            let place = index.index(stream.len());
            stream[place] ^= bits;
        }
        let whole = unpack(&stream, &[usize::MAX], 64);
        prop_assert_eq!(&whole, &unpack(&stream, &[1, 7], 3));
        if let Some((output, true)) = whole {
            prop_assert_eq!(Some(output), oracle(&stream));
        }
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..3000), pieces in proptest::collection::vec(1..50_usize, 1..4)) {
        let mut stream = vec![0x78, 0x9C];
        stream.extend(&bytes);
        prop_assert_eq!(unpack(&stream, &pieces, 100), unpack(&stream, &[usize::MAX], 7));
        let _ = unpack(&bytes, &pieces, 100);
    }
}
