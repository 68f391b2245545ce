//! READ_FLASH: blocks, acknowledgements, the digest.

use espbroker_stub::Operation;
use md5::{Digest as _, Md5};

use crate::model::{Bench, FLASH, escaped, program, request, words};

/// Reads as a host does that acknowledges each block for which `acknowledges` says so.
fn read(bench: &mut Bench, arguments: [u32; 4], acknowledges: impl Fn(usize) -> bool) -> (Vec<u8>, usize) {
    bench.run(Operation::ReadFlash, &words(&arguments));
    let size = arguments[1] as usize;
    let (mut bytes, mut ahead, mut blocks) = (Vec::new(), 0, 0);
    while bytes.len() < size {
        bench.rest();
        let mut count = 0;
        while let Some(frame) = bench.frame() {
            assert!(frame.len() <= arguments[2] as usize);
            bytes.extend(frame);
            count += 1;
            blocks += 1;
            if acknowledges(blocks) || bytes.len() == size {
                bench.line(&escaped(&words(&[bytes.len() as u32])));
            }
        }
        assert!(count > 0, "the stub waits, and so do we");
        ahead = ahead.max(count);
    }
    bench.rest();
    assert_eq!(bench.frame(), Some(Md5::digest(&bytes).to_vec()));
    (bytes, ahead)
}

#[test]
fn a_span_comes_in_blocks_with_its_digest() {
    let flash = program(FLASH, 2);
    let mut bench = Bench::new(flash.clone());
    for (offset, size, block, in_flight) in
        [(0, 0x9000, 0x1000, 1), (77, 1000, 100, 4), (5, 1, 4096, 0), (0x100, 300, 7, 64)]
    {
        let (bytes, ahead) = read(&mut bench, [offset, size, block, in_flight], |_| true);
        assert_eq!(bytes, flash[offset as usize..(offset + size) as usize]);
        assert_eq!(ahead, in_flight.clamp(1, size.div_ceil(block)) as usize);
    }
}

#[test]
fn a_lost_acknowledgement_is_made_good_by_the_next_one() {
    let flash = program(FLASH, 4);
    let mut bench = Bench::new(flash.clone());
    let (bytes, _) = read(&mut bench, [0, 0x8000, 0x400, 4], |block| block % 3 == 0);
    assert_eq!(bytes, flash[..0x8000]);
}

#[test]
fn acknowledgements_of_more_or_less_and_noise_change_nothing() {
    let mut bench = Bench::new(program(FLASH, 6));
    bench.run(Operation::ReadFlash, &words(&[0, 0x4000, 0x1000, 2]));
    bench.rest();
    for frame in [&words(&[0x3000])[..], &words(&[u32::MAX]), &words(&[0]), &[1, 2], &[0; 7]] {
        bench.line(&escaped(frame));
    }
    bench.rest();
    let frames = std::iter::from_fn(|| bench.frame()).count();
    assert_eq!(frames, 2);
    bench.line(&escaped(&words(&[0x2000])));
    bench.rest();
    assert_eq!(std::iter::from_fn(|| bench.frame()).count(), 2);
}

#[test]
fn another_request_ends_a_read() {
    let mut bench = Bench::new(program(FLASH, 8));
    bench.run(Operation::ReadFlash, &words(&[0, 0x4000, 0x1000, 1]));
    bench.rest();
    assert!(bench.frame().is_some());
    bench.line(&request(0xE0, 0, &[]));
    assert_eq!(bench.wait().operation, 0xE0);
    bench.line(&escaped(&words(&[0x1000])));
    bench.rest();
    assert_eq!(bench.frame(), None);
}

#[test]
fn nothing_is_a_span_and_its_digest_comes_at_once() {
    let mut bench = Bench::blank();
    bench.run(Operation::ReadFlash, &words(&[0, 0, 0x1000, 1]));
    bench.rest();
    assert_eq!(bench.frame(), Some(Md5::digest([]).to_vec()));
}

#[test]
fn blocks_that_are_too_large_or_empty_and_spans_beyond_the_flash_are_refused() {
    let mut bench = Bench::blank();
    assert_eq!(bench.error(Operation::ReadFlash, &words(&[0, 0x1000, 0x1001, 1])), Some(0xC2));
    assert_eq!(bench.error(Operation::ReadFlash, &words(&[0, 0x1000, 0, 1])), Some(0xC2));
    assert_eq!(bench.error(Operation::ReadFlash, &words(&[FLASH as u32, 1, 0x1000, 1])), Some(0xC4));
    bench.rest();
    assert_eq!(bench.frame(), None);
}
