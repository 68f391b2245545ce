//! Commands one by one, with esptool's conventions, and what they refuse.

use espbroker_stub::{BLOCK_MAX, Next, Operation, RECEIVE_WINDOW, Refusal};
use md5::{Digest as _, Md5};

use crate::model::{Bench, DIVIDER, FLASH, Model, program, request, words};

const LENGTH: Option<u8> = Some(Refusal::DataLength as u8);

fn filled() -> Bench {
    Bench::new(program(FLASH, 11))
}

#[test]
fn sync_is_answered_eight_times_with_the_value_of_a_stub() {
    let mut bench = Bench::blank();
    let mut data = vec![7, 7, 0x12, 0x20];
    data.extend([0x55; 32]);
    bench.line(&request(0x08, 0, &data));
    bench.rest();
    let responses: Vec<_> = std::iter::from_fn(|| bench.response()).collect();
    assert_eq!(responses.len(), 8);
    assert!(
        responses
            .iter()
            .all(|response| response.operation == 8 && response.value == 0 && response.error.is_none())
    );
}

#[test]
fn registers_are_read_and_written_under_a_mask() {
    let mut bench = Bench::blank();
    bench.chip.words.insert(0x6000_0014, 451);
    assert_eq!(bench.run(Operation::ReadRegister, &words(&[0x6000_0014])).value, 451);
    bench.chip.accesses.clear();
    let writes = [0x6000_0200, 0x1234, 0xFF, 50, 0x6000_0204, 0xDEAD_BEEF, u32::MAX, 0];
    bench.chip.words.insert(0x6000_0200, 0xAB00);
    bench.run(Operation::WriteRegister, &words(&writes));
    // Nobody reads a register that is written as a whole: reading may do something.
    assert_eq!(
        bench.chip.accesses,
        [('r', 0x6000_0200, 0xAB00), ('w', 0x6000_0200, 0xAB34), ('w', 0x6000_0204, 0xDEAD_BEEF)]
    );
    assert_eq!(bench.chip.delays, [50, 0]);
}

#[test]
fn an_address_that_would_fault_is_refused() {
    let mut bench = Bench::blank();
    assert_eq!(bench.error(Operation::ReadRegister, &words(&[0x6000_0001])), LENGTH);
    assert_eq!(bench.error(Operation::WriteRegister, &words(&[0x6000_0002, 0, 0, 0])), LENGTH);
    assert_eq!(bench.error(Operation::WriteRegister, &words(&[0x6000_0000, 0, 0, 0, 1])), LENGTH);
    assert_eq!(bench.error(Operation::MemBegin, &words(&[4, 1, 4, 0x4010_0001])), LENGTH);
    assert!(bench.chip.accesses.is_empty());
}

#[test]
fn every_operation_refuses_less_data_than_it_needs() {
    for (operation, least) in Operation::ALL {
        let mut bench = Bench::blank();
        for length in 0..usize::from(least) {
            assert_eq!(bench.error(operation, &vec![0; length]), LENGTH, "{operation:?} {length}");
        }
    }
}

#[test]
fn operations_of_other_chips_are_not_implemented_and_others_unknown() {
    let mut bench = Bench::blank();
    for operation in 0..=0xFF {
        if Operation::ALL.iter().all(|&(known, _)| known as u8 != operation) {
            let error = if (0xD4..=0xDE).contains(&operation) { 0xFF } else { 0xC3 };
            assert_eq!(bench.ask(operation, &[0; 16]).error, Some(error), "{operation:#x}");
        }
    }
}

#[test]
fn stub_info_says_what_a_host_may_send() {
    let data = Bench::blank().run(Operation::StubInfo, &[]).data;
    let mut expected = b"EBS1\x01\0\0\0".to_vec();
    expected.extend(words(&[RECEIVE_WINDOW, BLOCK_MAX]));
    assert_eq!(data, expected);
}

#[test]
fn echo_gives_back_up_to_4096_bytes() {
    let mut bench = Bench::blank();
    for length in [0, 1, 300, 4096] {
        let bytes = program(length, 9);
        assert_eq!(bench.run(Operation::Echo, &bytes).data, bytes);
    }
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(bench.run(Operation::Echo, &all).data, all);
    assert_eq!(bench.error(Operation::Echo, &[0; 4097]), LENGTH);
}

#[test]
fn digests_are_those_of_the_flash() {
    let mut bench = filled();
    for (offset, size) in [(0, FLASH), (1, 1), (4095, 70), (0x12345, 0), (FLASH - 3, 3)] {
        let expected = Md5::digest(&bench.chip.flash[offset..offset + size]).to_vec();
        assert_eq!(bench.md5(offset as u32, size as u32), expected);
    }
    let data = bench.run(Operation::SectorDigests, &words(&[0x3000, 5])).data;
    let sectors = bench.chip.flash[0x3000..0x8000].chunks(4096);
    assert_eq!(data, sectors.flat_map(|sector| Md5::digest(sector).to_vec()).collect::<Vec<u8>>());
    let all = bench.run(Operation::SectorDigests, &words(&[0, 256])).data;
    assert_eq!(all.len(), 4096);
}

#[test]
fn digests_beyond_the_flash_and_of_half_sectors_are_refused() {
    let mut bench = filled();
    let spi = Some(Refusal::SpiOperation as u8);
    assert_eq!(bench.error(Operation::SpiFlashMd5, &words(&[FLASH as u32, 1, 0, 0])), spi);
    assert_eq!(bench.error(Operation::SpiFlashMd5, &words(&[u32::MAX, u32::MAX, 0, 0])), spi);
    assert_eq!(bench.error(Operation::SectorDigests, &words(&[0x100, 1])), LENGTH);
    assert_eq!(bench.error(Operation::SectorDigests, &words(&[0, 0])), LENGTH);
    assert_eq!(bench.error(Operation::SectorDigests, &words(&[0, 1025])), LENGTH);
    assert_eq!(bench.error(Operation::SectorDigests, &words(&[0x1000, 256])), spi);
}

#[test]
fn the_size_of_the_flash_comes_from_its_id_and_from_the_host() {
    for (capacity, size) in
        [(0x14, 1 << 20), (0x16, 1 << 22), (0x12, 1 << 18), (0x34, 1 << 20), (0x38, 1 << 24), (0, 1 << 24)]
    {
        let mut chip = Model::new(vec![0xFF; FLASH]);
        chip.capacity = capacity;
        let mut bench = Bench::on(chip);
        assert_eq!(bench.error(Operation::SpiFlashMd5, &words(&[size, 0, 0, 0])), None, "{capacity:#x}");
        assert!(bench.error(Operation::SpiFlashMd5, &words(&[size, 1, 0, 0])).is_some(), "{capacity:#x}");
    }
    let mut bench = Bench::blank();
    bench.run(Operation::SpiSetParameters, &words(&[0, 0x2000, 0x1_0000, 0x1000, 0x100, 0xFFFF]));
    assert!(bench.error(Operation::SpiFlashMd5, &words(&[0x2000, 1, 0, 0])).is_some());
    bench.run(Operation::SpiSetParameters, &words(&[0, u32::MAX, 0x1_0000, 0x1000, 0x100, 0xFFFF]));
    assert!(bench.error(Operation::SpiFlashMd5, &words(&[1 << 24, 1, 0, 0])).is_some());
    let attached = bench.chip.attached;
    bench.run(Operation::SpiAttach, &words(&[0]));
    assert_eq!(bench.chip.attached, attached + 1);
}

#[test]
fn ram_is_uploaded_in_words_and_called() {
    let mut bench = Bench::blank();
    bench.run(Operation::MemBegin, &words(&[24, 2, 16, 0x4010_0000]));
    assert_eq!(bench.block(Operation::MemData, 0, &words(&[1, 2, 3, 4])), None);
    assert_eq!(bench.error(Operation::MemEnd, &words(&[0, 0x4010_0000])), Some(Refusal::NotEnoughData as u8));
    assert_eq!(bench.block(Operation::MemData, 2, &words(&[5, 6])), Some(Refusal::Message as u8));
    // Once more, as if its answer had been lost.
    assert_eq!(bench.block(Operation::MemData, 0, &words(&[1, 2, 3, 4])), None);
    assert_eq!(bench.block(Operation::MemData, 1, &[5, 0, 0, 0, 6, 0]), LENGTH);
    assert_eq!(bench.block(Operation::MemData, 1, &words(&[5, 6])), None);
    assert_eq!(bench.block(Operation::MemData, 2, &words(&[7])), Some(Refusal::TooMuchData as u8));
    let stored: Vec<_> = bench.chip.words.values().copied().collect();
    assert_eq!(stored, [1, 2, 3, 4, 5, 6]);
    bench.run(Operation::MemEnd, &words(&[1, 0]));
    assert_eq!(bench.next, Next::Poll);
    bench.run(Operation::MemEnd, &words(&[0, 0x4010_0004]));
    assert_eq!(bench.next, Next::Call(0x4010_0004));
}

#[test]
fn the_rate_goes_up_and_down_any_number_of_times_from_the_same_clock() {
    let mut bench = Bench::blank();
    let mut old = 115_200;
    for new in [460_800, 230_400, 115_200, 921_600, 115_200, 1_500_000, 74_880, 115_200] {
        let before = bench.chip.sent.len();
        bench.run(Operation::ChangeBaud, &words(&[new, old]));
        let (divider, sent) = *bench.chip.dividers.last().unwrap();
        assert_eq!(divider, DIVIDER * 115_200 / new, "{new}");
        // The response has left at the old rate.
        assert_eq!(sent, bench.chip.sent.len());
        assert!(sent > before);
        old = new;
    }
    assert_eq!(bench.chip.divider, DIVIDER);
}

#[test]
fn a_rate_that_cannot_be_is_refused_and_changes_nothing() {
    for rates in [[0, 115_200], [460_800, 0], [460_800, u32::MAX], [60_000_000, 115_200], [1, 115_200]] {
        let mut bench = Bench::blank();
        assert_eq!(bench.error(Operation::ChangeBaud, &words(&rates)), LENGTH, "{rates:?}");
        assert!(bench.chip.dividers.is_empty());
        bench.run(Operation::ChangeBaud, &words(&[230_400, 115_200]));
    }
}

#[test]
fn user_code_is_run_after_a_response() {
    let mut bench = Bench::blank();
    bench.run(Operation::RunUserCode, &[]);
    assert_eq!(bench.next, Next::Boot);
}

#[test]
fn an_end_that_does_not_stay_restarts() {
    for (begin, data, end) in [
        (Operation::FlashBegin, Operation::FlashData, Operation::FlashEnd),
        (Operation::FlashDeflateBegin, Operation::FlashDeflateData, Operation::FlashDeflateEnd),
    ] {
        let mut bench = Bench::blank();
        let block = if begin == Operation::FlashBegin { vec![1, 2] } else { crate::model::zlib(&[1, 2]) };
        bench.run(begin, &words(&[2, 1, 0x4000, 0]));
        assert_eq!(bench.block(data, 0, &block), None);
        // One byte, as espflash sends it.
        bench.run(end, &[0]);
        assert_eq!(bench.next, Next::Restart);
        assert_eq!(bench.chip.flash[..3], [1, 2, 0xFF]);
    }
}

#[test]
fn erasing_takes_what_is_not_blank() {
    let mut flash = vec![0xFF; FLASH];
    flash[0x2_0000..0x3_0000].fill(0);
    flash[0x4_5678] = 0;
    flash[0x5_0FFF] = 0;
    let mut bench = Bench::new(flash);
    bench.run(Operation::EraseRegion, &words(&[0x1_0000, 0x4_0000]));
    assert_eq!((bench.chip.counts.blocks, bench.chip.counts.sectors), (1, 1));
    assert_eq!(bench.chip.flash.iter().filter(|&&byte| byte != 0xFF).count(), 1);
    bench.run(Operation::EraseFlash, &[]);
    assert_eq!((bench.chip.counts.blocks, bench.chip.counts.sectors), (1, 2));
    assert!(bench.chip.flash.iter().all(|&byte| byte == 0xFF));
    bench.run(Operation::EraseFlash, &[]);
    assert_eq!((bench.chip.counts.blocks, bench.chip.counts.sectors), (1, 2));
}

#[test]
fn a_block_with_few_sectors_in_use_and_a_part_of_one_are_erased_by_sector() {
    let mut bench = filled();
    for sector in 3..16 {
        bench.chip.flash[sector << 12..(sector + 1) << 12].fill(0xFF);
    }
    bench.run(Operation::EraseRegion, &words(&[0, 0x1_F000]));
    assert_eq!((bench.chip.counts.blocks, bench.chip.counts.sectors), (0, 3 + 15));
}

#[test]
fn erasing_half_a_sector_or_beyond_the_flash_is_refused() {
    let mut bench = filled();
    let before = bench.chip.flash.clone();
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0x800, 0x1000])), LENGTH);
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0, 0x1001])), LENGTH);
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0xF_F000, 0x2000])), Some(0xC4));
    assert_eq!(bench.chip.flash, before);
}

#[test]
fn a_flash_that_never_gets_ready_is_an_error_and_not_the_end() {
    let mut bench = filled();
    bench.chip.stuck = true;
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0, 0x1000])), Some(0xC4));
    bench.chip.stuck = false;
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0, 0x1000])), None);
}

#[test]
fn protection_is_taken_away_where_there_is_one() {
    let mut bench = filled();
    bench.run(Operation::EraseRegion, &words(&[0, 0x1000]));
    assert_eq!(bench.chip.counts.status_writes, 0);
    bench.chip.status = 0x1C;
    bench.run(Operation::EraseRegion, &words(&[0x1000, 0x1000]));
    assert_eq!(bench.chip.counts.status_writes, 1);
    bench.chip.status = 0x1C;
    bench.chip.refuses_unlock = true;
    assert_eq!(bench.error(Operation::EraseRegion, &words(&[0x2000, 0x1000])), Some(0xC5));
    assert_eq!(bench.error(Operation::FlashDeflateBegin, &words(&[1, 1, 1, 0x2000])), Some(0xC5));
}
