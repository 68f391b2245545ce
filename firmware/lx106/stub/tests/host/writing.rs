//! Writes: plain and compressed, one block after the other and many at once, errors, power cuts.

use espbroker_stub::{Operation, RECEIVE_WINDOW, Refusal};
use proptest::prelude::*;

use crate::model::{Bench, FLASH, block_request, program, words, zlib};

#[test]
fn a_compressed_write_is_in_flash_when_its_end_is_answered() {
    for (offset, length) in [(0, 150_000), (0x1_0000, 65_536), (0x3000, 1), (0x1234, 5000), (0xF_F000, 4096)]
    {
        let bytes = program(length, 21);
        let mut bench = Bench::new(program(FLASH, 1));
        bench.write(offset, &bytes, 0x4000).unwrap();
        let offset = offset as usize;
        assert_eq!(bench.chip.flash[offset..offset + length], bytes);
    }
}

#[test]
fn a_plain_write_ignores_padding_and_leaves_other_sectors_alone() {
    let before = program(FLASH, 1);
    let mut bench = Bench::new(before.clone());
    let bytes = program(9000, 5);
    bench.run(Operation::FlashBegin, &words(&[9000, 3, 0x1000, 0x2000, 0]));
    for (sequence, block) in (0..).zip(bytes.chunks(0x1000)) {
        let mut block = block.to_vec();
        block.resize(0x1000, 0xFF);
        assert_eq!(bench.block(Operation::FlashData, sequence, &block), None);
    }
    bench.run(Operation::FlashEnd, &words(&[1]));
    assert_eq!(bench.chip.flash[0x2000..0x2000 + 9000], bytes);
    assert_eq!(bench.chip.flash[..0x2000], before[..0x2000]);
    assert_eq!(bench.chip.flash[0x5000..], before[0x5000..]);
    assert_eq!(bench.chip.counts.sectors, 3);
}

#[test]
fn what_is_blank_is_not_erased_and_what_stays_blank_not_programmed() {
    let mut bench = Bench::blank();
    bench.write(0, &program(0x2_0000, 3), 0x4000).unwrap();
    assert_eq!((bench.chip.counts.sectors, bench.chip.counts.blocks), (0, 0));
    let programs = bench.chip.counts.programs;
    bench.write(0x4_0000, &[0xFF; 0x1_0000], 0x4000).unwrap();
    assert_eq!(bench.chip.counts.programs, programs);
    // Over it: two whole blocks, by block.
    bench.write(0, &program(0x2_0000, 4), 0x4000).unwrap();
    assert_eq!((bench.chip.counts.sectors, bench.chip.counts.blocks), (0, 2));
}

#[test]
fn a_stream_that_is_none_is_the_error_of_all_that_follows_until_the_next_beginning() {
    let mut bench = Bench::blank();
    bench.run(Operation::FlashDeflateBegin, &words(&[4096, 2, 0x4000, 0]));
    // Answered before it is unpacked.
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &[0x78, 0x9C, 0xFF, 0xFF]), None);
    for _ in 0..2 {
        assert_eq!(bench.block(Operation::FlashDeflateData, 1, &[0; 8]), Some(Refusal::Inflate as u8));
        assert_eq!(bench.error(Operation::FlashDeflateEnd, &words(&[1])), Some(Refusal::Inflate as u8));
    }
    bench.write(0, &[1; 4096], 0x4000).unwrap();
}

#[test]
fn a_wrong_adler_32_is_an_error_of_the_end() {
    let mut stream = zlib(&program(4096, 3));
    *stream.last_mut().unwrap() ^= 1;
    let mut bench = Bench::blank();
    bench.run(Operation::FlashDeflateBegin, &words(&[4096, 1, 0x4000, 0]));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &stream), None);
    assert_eq!(bench.error(Operation::FlashDeflateEnd, &words(&[1])), Some(Refusal::Inflate as u8));
}

#[test]
fn more_or_less_than_announced_is_an_error() {
    let stream = zlib(&program(5000, 3));
    let mut bench = Bench::blank();
    bench.run(Operation::FlashDeflateBegin, &words(&[4999, 1, 0x4000, 0]));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &stream), None);
    assert_eq!(bench.error(Operation::FlashDeflateEnd, &words(&[1])), Some(Refusal::TooMuchData as u8));
    assert_eq!(bench.chip.flash[4999], 0xFF);
    bench.run(Operation::FlashDeflateBegin, &words(&[5001, 1, 0x4000, 0]));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &stream), None);
    assert_eq!(bench.error(Operation::FlashDeflateEnd, &words(&[1])), Some(Refusal::NotEnoughData as u8));
    // Without its checksum a stream is not whole.
    bench.run(Operation::FlashDeflateBegin, &words(&[5000, 2, 0x4000, 0]));
    let (most, rest) = stream.split_at(stream.len() - 3);
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, most), None);
    assert_eq!(bench.error(Operation::FlashDeflateEnd, &words(&[1])), Some(Refusal::NotEnoughData as u8));
    assert_eq!(bench.block(Operation::FlashDeflateData, 1, rest), None);
    bench.run(Operation::FlashDeflateEnd, &words(&[1]));
    // What follows the end of a stream is nothing.
    bench.run(Operation::FlashDeflateBegin, &words(&[5000, 2, 0x4000, 0]));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &[&stream[..], &[1, 2, 3]].concat()), None);
    assert_eq!(bench.block(Operation::FlashDeflateData, 1, &[9; 40]), None);
    bench.run(Operation::FlashDeflateEnd, &words(&[1]));
}

#[test]
fn nothing_is_a_write_as_well() {
    let mut bench = Bench::new(program(FLASH, 1));
    for (begin, end) in [
        (Operation::FlashBegin, Operation::FlashEnd),
        (Operation::FlashDeflateBegin, Operation::FlashDeflateEnd),
    ] {
        bench.run(begin, &words(&[0, 0, 0x400, 0]));
        bench.run(end, &words(&[1]));
    }
    assert_eq!(bench.chip.counts.sectors, 0);
}

#[test]
fn blocks_and_ends_without_a_beginning_are_refused() {
    let mut bench = Bench::blank();
    let refused = Some(Refusal::NotInFlashMode as u8);
    assert_eq!(bench.block(Operation::FlashData, 0, &[1]), refused);
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &[1]), refused);
    assert_eq!(bench.error(Operation::FlashEnd, &[1]), refused);
    assert_eq!(bench.error(Operation::FlashDeflateEnd, &[1]), refused);
    bench.run(Operation::FlashBegin, &words(&[4, 1, 4, 0]));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &[1]), refused);
    assert_eq!(bench.block(Operation::FlashData, 0, &[1, 2, 3, 4]), None);
    bench.run(Operation::FlashEnd, &[1]);
    assert_eq!(bench.error(Operation::FlashEnd, &[1]), refused);
}

#[test]
fn a_beginning_that_cannot_be_erases_nothing() {
    let before = program(FLASH, 1);
    let mut bench = Bench::new(before.clone());
    let begin = Operation::FlashDeflateBegin;
    assert_eq!(bench.error(begin, &words(&[4096, 1, 0x4001, 0])), Some(Refusal::BlockSize as u8));
    assert_eq!(bench.error(begin, &words(&[4096, 1, 0x4000, 0xF_F001])), Some(Refusal::SpiOperation as u8));
    assert_eq!(bench.error(begin, &words(&[u32::MAX, 1, 0x4000, 0x1000])), Some(Refusal::SpiOperation as u8));
    bench.rest();
    assert_eq!(bench.chip.flash, before);
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &[1]), Some(Refusal::NotInFlashMode as u8));
}

#[test]
fn a_wrong_checksum_a_wrong_length_and_a_block_out_of_turn_change_nothing() {
    let mut bench = Bench::blank();
    bench.run(Operation::FlashBegin, &words(&[8, 2, 4, 0]));
    let mut data = words(&[4, 0, 0, 0]);
    data.extend([1, 2, 3, 4]);
    assert_eq!(bench.error(Operation::FlashData, &data), Some(Refusal::Checksum as u8));
    data.push(5);
    assert_eq!(bench.error(Operation::FlashData, &data), Some(Refusal::DataLength as u8));
    assert_eq!(bench.block(Operation::FlashData, 1, &[9; 4]), Some(Refusal::Message as u8));
    assert_eq!(bench.block(Operation::FlashData, 0, &[1, 2, 3, 4]), None);
    assert_eq!(bench.block(Operation::FlashData, 0, &[1, 2, 3, 4]), None);
    assert_eq!(bench.error(Operation::FlashEnd, &[1]), Some(Refusal::NotEnoughData as u8));
    assert_eq!(bench.block(Operation::FlashData, 1, &[5, 6, 7, 8]), None);
    bench.run(Operation::FlashEnd, &[1]);
    assert_eq!(bench.chip.flash[..9], [1, 2, 3, 4, 5, 6, 7, 8, 0xFF]);
}

#[test]
fn whatever_is_asked_in_between_finds_in_flash_what_was_answered() {
    let mut bench = Bench::new(program(FLASH, 1));
    let bytes = program(0x3000, 7);
    bench.run(Operation::FlashBegin, &words(&[0x3000, 3, 0x1000, 0]));
    for (sequence, block) in (0..).zip(bytes.chunks(999)) {
        assert_eq!(bench.block(Operation::FlashData, sequence, block), None);
        let end = (sequence as usize * 999 + block.len()) as u32;
        let expected: [u8; 16] = <md5::Md5 as md5::Digest>::digest(&bytes[..end as usize]).into();
        assert_eq!(bench.md5(0, end), expected);
    }
    bench.run(Operation::FlashEnd, &words(&[1]));
}

#[test]
fn erasing_goes_on_ahead_while_no_data_comes() {
    let mut bench = Bench::new(program(FLASH, 1));
    bench.run(Operation::FlashDeflateBegin, &words(&[0x9000, 1, 0x4000, 0x1000]));
    for _ in 0..2_000_000 {
        bench.poll();
        bench.chip.tick();
    }
    assert!(bench.chip.flash[0x1000..0xA000].iter().all(|&byte| byte == 0xFF));
    assert_eq!(bench.chip.counts.sectors, 9);
}

/// Sends blocks as long as the window allows, whatever the stub does meanwhile.
fn pipelined(bench: &mut Bench, bytes: &[u8], block: usize) -> u32 {
    let packed = zlib(bytes);
    let mut requests: std::collections::VecDeque<_> = (0..)
        .zip(packed.chunks(block))
        .map(|(sequence, block)| {
            (24 + block.len() as u32, block_request(Operation::FlashDeflateData, sequence, block))
        })
        .collect();
    bench.run(
        Operation::FlashDeflateBegin,
        &words(&[bytes.len() as u32, requests.len() as u32, block as u32, 0]),
    );
    let (mut under_way, mut most, mut sent) = (0, 0, std::collections::VecDeque::new());
    while !requests.is_empty() || !sent.is_empty() {
        while requests.front().is_some_and(|&(length, _)| under_way + length <= RECEIVE_WINDOW) {
            let (length, request) = requests.pop_front().unwrap();
            bench.line(&request);
            under_way += length;
            sent.push_back(length);
        }
        most = most.max(under_way);
        let response = bench.wait();
        assert_eq!((response.operation, response.error), (Operation::FlashDeflateData as u8, None));
        under_way -= sent.pop_front().unwrap();
    }
    bench.run(Operation::FlashDeflateEnd, &words(&[1]));
    most
}

#[test]
fn requests_up_to_the_window_are_never_too_many() {
    let bytes = program(200_000, 77);
    for block in [1000, 4096, 0x4000, 20] {
        let bytes = if block == 20 { &bytes[..20_000] } else { &bytes[..] };
        let mut bench = Bench::new(program(FLASH, 1));
        let most = pipelined(&mut bench, bytes, block);
        assert_eq!(bench.chip.flash[..bytes.len()], *bytes, "{block}");
        assert!(most + block as u32 + 24 > RECEIVE_WINDOW || block == 20, "{most}");
    }
}

#[test]
fn the_smallest_requests_up_to_the_window_are_never_too_many() {
    let mut bench = Bench::blank();
    // A block that was answered and is not unpacked yet, and behind it as many as may be sent.
    bench.run(Operation::FlashDeflateBegin, &words(&[0x8_0000, 9, 0x4000, 0]));
    let stream = zlib(&program(0x8_0000, 5));
    assert_eq!(bench.block(Operation::FlashDeflateData, 0, &stream[..0x4000]), None);
    let count = RECEIVE_WINDOW as usize / 8;
    for _ in 0..count {
        bench.line(&crate::model::request(0xE2, 0, &[]));
    }
    for _ in 0..count {
        let response = bench.wait();
        assert_eq!((response.operation, response.error), (0xE2, None));
    }
    assert_eq!(bench.block(Operation::FlashDeflateData, 1, &stream[0x4000..0x8000]), None);
}

#[test]
fn a_lost_block_refuses_those_behind_it_and_the_host_goes_back() {
    let bytes = program(40_000, 5);
    let packed = zlib(&bytes);
    let blocks: Vec<_> = packed.chunks(1024).collect();
    let mut bench = Bench::blank();
    bench.run(Operation::FlashDeflateBegin, &words(&[40_000, 0, 1024, 0]));
    for (sequence, block) in (0..).zip(&blocks[..6]) {
        if sequence != 2 {
            bench.line(&block_request(Operation::FlashDeflateData, sequence, block));
        }
    }
    let errors: Vec<_> = (0..5).map(|_| bench.wait().error).collect();
    let late = Some(Refusal::Message as u8);
    assert_eq!(errors, [None, None, late, late, late]);
    for (sequence, block) in (0..).zip(&blocks).skip(2) {
        assert_eq!(bench.block(Operation::FlashDeflateData, sequence, block), None);
    }
    bench.run(Operation::FlashDeflateEnd, &words(&[1]));
    assert_eq!(bench.chip.flash[..40_000], bytes);
}

#[test]
fn a_power_cut_at_any_operation_is_repaired_by_the_next_run() {
    let before = program(FLASH, 1);
    let bytes = program(0x1_3000, 99);
    let mut whole = Bench::new(before.clone());
    whole.write(0, &bytes, 0x4000).unwrap();
    let counts = whole.chip.counts;
    let operations = counts.sectors + counts.blocks + counts.programs;
    for cut in (0..operations).step_by(7).chain(0..30).chain(operations - 3..operations) {
        let mut bench = Bench::new(before.clone());
        bench.chip.power = Some(cut);
        // Without power nothing is answered; here the stub goes on, and finds the flash gone.
        assert_eq!(bench.write(0, &bytes, 0x4000), Err(Refusal::SpiOperation as u8), "{cut}");
        let after = bench.chip.flash;
        assert_eq!(after[0x1_3000..], before[0x1_3000..], "{cut}");
        let mut second = Bench::new(after);
        second.write(0, &bytes, 0x4000).unwrap();
        assert_eq!(second.chip.flash[..bytes.len()], bytes, "{cut}");
        assert_eq!(second.chip.flash[bytes.len()..], before[bytes.len()..], "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_span_in_any_blocks(
        offset in 0..0x2_0000_u32,
        length in 0..100_000_usize,
        block in 1..0x4000_usize,
        seed in any::<u32>(),
    ) {
        let bytes = program(length, seed);
        let block = block.max(length / 200);
        let mut bench = Bench::new(program(FLASH, seed ^ 1));
        let before = bench.chip.flash.clone();
        bench.write(offset, &bytes, block.min(0x4000)).unwrap();
        let (start, end) = (offset as usize, offset as usize + length);
        prop_assert_eq!(&bench.chip.flash[start..end], &bytes[..]);
        prop_assert_eq!(&bench.chip.flash[..start & !0xFFF], &before[..start & !0xFFF]);
        let end = end.next_multiple_of(0x1000);
        prop_assert_eq!(&bench.chip.flash[end..], &before[end..]);
    }
}
