//! Flash that wears out, forgets, or holds anything at all.

use proptest::prelude::*;

use super::*;

/// Three topics that stay and one that changes, in a ring that has turned.
fn used(sectors: u8, records: u32) -> Bench {
    let mut bench = Bench::blank(sectors);
    for topic in ["a", "b", "c"] {
        bench.save(topic, topic.as_bytes(), 1).unwrap();
    }
    for number in 0..records {
        bench.save("hot", &number.to_le_bytes().repeat(50), 0).unwrap();
    }
    bench
}

/// The store takes messages and has them after a restart.
fn assert_works(bench: &mut Bench) {
    for number in 0..70_u8 {
        bench.save(&format!("works/{}", number % 3), &[number; 300], 0).unwrap();
    }
    bench.restart();
}

#[test]
fn sectors_that_refuse_to_be_erased_are_left_out() {
    for sector in 0..6 {
        let mut bench = used(6, 10);
        bench.flash.unerasable = Some(SECTOR_SIZE * (1 + sector));
        for number in 0..300_u32 {
            bench.save("hot", &number.to_le_bytes().repeat(50), 0).unwrap();
        }
        assert_eq!(bench.store.worn_sectors(), 1);
        bench.restart();
        assert_works(&mut bench);
    }
}

#[test]
fn what_a_sector_that_cannot_be_erased_holds_does_not_come_back() {
    let mut bench = Bench::blank(5);
    bench.save("cleared", b"secret", 0).unwrap();
    bench.save("changed", b"old", 0).unwrap();
    bench.flash.unerasable = Some(SECTOR_SIZE);
    bench.save("cleared", b"", 0).unwrap();
    bench.save("changed", b"new", 0).unwrap();
    for number in 0..300_u32 {
        bench.save("hot", &number.to_le_bytes().repeat(50), 0).unwrap();
        if number % 20 == 0 {
            bench.restart();
        }
    }
    assert!(bench.sector(0).windows(6).any(|bytes| bytes == b"secret"));
    bench.restart();
    bench.store.wipe();
    bench.settle();
    bench.model.clear();
    bench.restart();
}

#[test]
fn sectors_that_do_not_become_blank_are_left_out() {
    for (sector, offset) in [(0, 0), (1, 4095), (2, 17), (3, 2000), (4, 20), (5, 3)] {
        let mut bench = used(6, 10);
        bench.flash.stuck_at_0 = Some((SECTOR_SIZE * (1 + sector) + offset, 0x40));
        for number in 0..300_u32 {
            bench.save("hot", &number.to_le_bytes().repeat(50), 0).unwrap();
        }
        assert_eq!(bench.store.worn_sectors(), 1, "{sector} {offset}");
        bench.restart();
        assert_works(&mut bench);
    }
}

#[test]
fn a_cell_that_cannot_be_programmed_costs_its_sector_and_no_message() {
    let (mut all_failures, mut all_worn) = (0, 0);
    // In the header of the sector, in that of a copy, in that of a new record, in the middle.
    for offset in (0..20).step_by(5).chain(20..24).chain(56..64).chain(268..276).chain([1000, 4000]) {
        let mut bench = used(6, 50);
        bench.flash.stuck_at_1 = Some(SECTOR_SIZE * 5 + offset);
        let mut failures = 0;
        for number in 0..100_u32 {
            let payload = number.to_le_bytes().repeat(50);
            while let Err(refusal) = bench.save("hot", &payload, 0) {
                assert_eq!(refusal, StoreError::Differs, "{offset}");
                assert_eq!(bench.loaded(), bench.model, "the message before is still there");
                failures += 1;
            }
            assert_eq!(bench.loaded(), bench.model, "{offset}");
        }
        assert!(failures <= 1 && bench.store.worn_sectors() <= 1, "{offset}");
        all_failures += failures;
        all_worn += bench.store.worn_sectors();
    }
    assert!(all_failures > 5 && all_worn > 2, "{all_failures} {all_worn}");
}

#[test]
fn a_sector_takes_no_more_records_behind_a_torn_one() {
    // What a cell that was programmed half reads like is not sure, the length above all.
    for kept in 0..16 {
        let mut bench = Bench::blank(4);
        bench.save("t", b"first", 0).unwrap();
        bench.save("t", b"second", 0).unwrap();
        // The second of two records, of 15 B.
        bench.sector(0)[20 + 16 + kept..][..16 - kept].fill(0xFF);
        let mut bench = Bench::over(bench.flash, 4);
        let torn = kept > 0 && kept < 15;
        assert_eq!(bench.save_now("t", b"third") == Err(StoreError::Busy), torn, "{kept}");
        bench.save("t", b"third", 0).unwrap();
        bench.restart();
    }
}

#[test]
fn a_ring_of_worn_sectors_is_full_and_still_read() {
    let mut bench = used(4, 10);
    let kept = bench.model.clone();
    for sector in 0..4 {
        bench.store.worn.insert(sector);
    }
    let outcome =
        (0..100).find_map(|number: u32| bench.save("hot", &number.to_le_bytes().repeat(50), 0).err());
    assert_eq!(outcome, Some(StoreError::Full));
    assert_eq!(bench.save("hot", &[1; 300], 0), Err(StoreError::Full));
    bench.restart();
    assert_eq!(bench.model.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    bench.store.wipe();
    bench.settle();
    bench.model.clear();
    bench.restart();
}

#[test]
fn a_flash_that_cannot_be_read_for_a_while_loses_nothing() {
    let mut bench = used(5, 100);
    for number in 0..200_u32 {
        let payload = number.to_le_bytes().repeat(60);
        while bench.save_now("hot", &payload) == Err(StoreError::Busy) {
            // A step that fails, and then one that does not: each of the first steps fails at some time.
            for number in 0.. {
                if !bench.store.is_busy() {
                    break;
                }
                if number < 30 {
                    let erased: u32 = bench.flash.erased.iter().sum();
                    bench.flash.fails_from = Some(0);
                    let failures = (0..5).filter(|_| bench.step().is_err()).count();
                    assert!(failures >= 4 && bench.store.is_busy());
                    assert_eq!(erased, bench.flash.erased.iter().sum::<u32>(), "waiting wears nothing");
                    bench.flash.fails_from = None;
                }
                bench.step().unwrap();
            }
        }
    }
    bench.restart();
    bench.flash.fails_from = Some(SECTOR_SIZE * 3);
    assert!(Store::open_ring(&mut bench.flash, bench.ring, |_| {}).is_err());
}

#[test]
fn sectors_of_another_format_are_free() {
    let mut bench = used(4, 3);
    // A right header of format version 2: what a later program may have left.
    let mut header = *b"EBRM\x02\0\0\0\x09\0\0\0\x09\0\0\0\0\0\0\0";
    let crc = espbroker_config::crc::Crc32::new().update(&header[..16]).finish();
    header[16..].copy_from_slice(&crc.to_le_bytes());
    bench.sector(2)[..20].copy_from_slice(&header);
    bench.restart();
    assert_works(&mut bench);
}

#[test]
fn bytes_of_a_message_that_look_like_a_record_are_none() {
    let mut bench = Bench::blank(4);
    bench.save("t", b"forged", 0).unwrap();
    let record = bench.sector(0)[20..36].to_vec();
    let mut bench = Bench::blank(4);
    bench.save("victim", b"true", 0).unwrap();
    bench.save("attacker!!!!", &record.repeat(3), 0).unwrap();
    // A rotten length makes the reader go on in the middle of the message.
    let start = bench.sector(0).windows(12).position(|bytes| bytes == b"attacker!!!!").unwrap();
    for length in 0..60 {
        let mut bench = bench.clone();
        bench.sector(0)[start - 6] = length;
        let loaded = bench.loaded();
        assert_eq!(loaded.get("t"), None);
        assert!(loaded.contains_key("victim"));
    }
}

#[test]
fn a_flipped_bit_costs_no_message_of_another_sector_and_none_before_it() {
    let mut bench = Bench::blank(5);
    for number in 0..12_u8 {
        bench.save(&format!("t/{number:02}"), &[number; 700], 0).unwrap();
    }
    let second = SECTOR_SIZE as usize * 2;
    for bit in (0..4096 * 8).filter(|bit| bit % 41 == 0 || *bit < 300) {
        bench.flash.bytes[second + bit / 8] ^= 1 << (bit % 8);
        let loaded = bench.loaded();
        bench.flash.bytes[second + bit / 8] ^= 1 << (bit % 8);
        // Five messages of 716 B to a sector.
        let whole = if bit < 160 { 0 } else { (bit / 8 - 20) / 716 };
        for number in (0..5 + whole).chain(10..12).map(|number| format!("t/{number:02}")) {
            assert_eq!(loaded.get(&number), bench.model.get(&number), "bit {bit}");
        }
        assert!(loaded.iter().all(|(topic, message)| bench.model.get(topic) == Some(message)), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flash_opens_and_works(
        seed in any::<u64>(),
        headers in proptest::collection::vec(prop::option::of((any::<u32>(), any::<u32>())), 5),
        small in any::<bool>(),
    ) {
        let mut bench = Bench::blank(5);
        let mut random = seed | 1;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for (sector, header) in (0..).zip(headers) {
            let bytes = bench.sector(sector);
            bytes.chunks_mut(8).for_each(|chunk| {
                // Lengths that fit are as likely as others.
                let value = if next() % 2 == 0 { next() & 0xFFFF_FFFF_003F_000F } else { next() };
                chunk.copy_from_slice(&value.to_le_bytes());
            });
            if let Some((sequence, oldest)) = header {
                let (sequence, oldest) = if small { (sequence % 8, oldest % 8) } else { (sequence, oldest) };
                bytes[..20].copy_from_slice(&header_of(sequence, oldest));
            }
        }
        let mut bench = Bench::over(bench.flash, 5);
        prop_assert!(bench.model.is_empty(), "no random bytes make a record");
        assert_works(&mut bench);
    }

    #[test]
    fn a_log_with_any_bytes_changed_opens_and_works(
        changes in proptest::collection::vec((0..5_u8, 0..4096_usize, any::<u8>()), 1..40),
    ) {
        let mut bench = used(5, 60);
        for (sector, offset, byte) in changes {
            // As often in the headers as behind them.
            let offset = if offset % 2 == 0 { offset % 64 } else { offset };
            bench.sector(sector)[offset] = byte;
        }
        let mut bench = Bench::over(bench.flash, 5);
        bench.restart();
        assert_works(&mut bench);
    }
}

fn header_of(sequence: u32, oldest: u32) -> [u8; 20] {
    let mut header = *b"EBRM\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    header[8..12].copy_from_slice(&sequence.to_le_bytes());
    header[12..16].copy_from_slice(&oldest.to_le_bytes());
    let crc = espbroker_config::crc::Crc32::new().update(&header[..16]).finish();
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

#[test]
fn the_sequence_wraps() {
    let mut bench = Bench::blank(5);
    bench.sector(3)[..20].copy_from_slice(&header_of(u32::MAX - 2, u32::MAX - 2));
    let mut bench = Bench::over(bench.flash, 5);
    for number in 0..200_u32 {
        bench.save(&format!("t/{}", number % 9), &number.to_le_bytes().repeat(20), 0).unwrap();
        bench.restart();
    }
    assert!(bench.store.sequence < 10);
}
