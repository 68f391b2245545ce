//! The two sectors over a flash that loses power, wears out and forgets.

use espbroker_config::{
    codec::{DecodeError, EncodeError},
    flash_map::{CONFIG_A, CONFIG_B, FlashMap, SECTOR_SIZE},
    model::Config,
    slots::{
        Absence, Damage, HEADER_LENGTH, HeaderFault, Loaded, MAGIC, PAYLOAD_MAX, Slot, SlotHeader, SlotState,
        StoreError, encode_sector, load, next, read_sector, select, store,
    },
};

use crate::{
    nor::{Nor, NorError},
    samples::{everything, filling_a_slot},
};

/// The config in flash, with slot and sequence.
fn loaded(flash: &mut Nor) -> Option<(Slot, u32, Config)> {
    let from_sectors = {
        let (a, b) = (read_sector(flash.sector(Slot::A)), read_sector(flash.sector(Slot::B)));
        select(&a, &b).map(|(slot, record)| (slot, record.sequence, record.config.clone()))
    };
    let from_flash = match load(flash).unwrap() {
        Loaded::Config { slot, record } => Some((slot, record.sequence, record.config)),
        Loaded::Nothing(_) => None,
    };
    assert_eq!(from_flash, from_sectors, "device and host agree");
    from_flash
}

/// A sector with a payload of our choice and a right CRC.
fn sector(format: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes);
    hasher.update(payload);
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn the_slots_are_the_two_config_sectors() {
    assert_eq!((Slot::A.region(), Slot::B.region()), (CONFIG_A, CONFIG_B));
    assert_eq!((Slot::A.other(), Slot::B.other()), (Slot::B, Slot::A));
    assert_eq!(HEADER_LENGTH + PAYLOAD_MAX, SECTOR_SIZE as usize);
}

#[test]
fn a_flash_of_1_mb_keeps_its_config_where_its_map_says() {
    let mut flash = Nor::blank_of(FlashMap::Map1M);
    for (sequence, slot) in (1..=3).zip([Slot::A, Slot::B, Slot::A]) {
        let config = Config::new(format!("turn-{sequence}"));
        assert_eq!(store(&mut flash, &config), Ok((slot, sequence)));
        assert_eq!(loaded(&mut flash), Some((slot, sequence, config)));
    }
}

#[test]
fn writes_take_turns_and_the_last_one_is_the_config() {
    let mut flash = Nor::blank();
    assert_eq!(load(&mut flash).unwrap(), Loaded::Nothing(Absence::Blank));
    for (sequence, slot) in (1..=5).zip([Slot::A, Slot::B].into_iter().cycle()) {
        let config = Config::new(format!("turn-{sequence}"));
        assert_eq!(store(&mut flash, &config), Ok((slot, sequence)));
        assert_eq!(loaded(&mut flash), Some((slot, sequence, config)));
    }
}

#[test]
fn the_sequence_wraps() {
    let mut flash = Nor::blank();
    flash.put(Slot::B, &encode_sector(&Config::new("last"), u32::MAX).unwrap());
    for (slot, sequence) in [(Slot::A, 0), (Slot::B, 1), (Slot::A, 2)] {
        let config = Config::new(format!("turn-{sequence}"));
        assert_eq!(store(&mut flash, &config), Ok((slot, sequence)));
        assert_eq!(loaded(&mut flash), Some((slot, sequence, config)));
    }
}

#[test]
fn a_power_cut_at_any_byte_of_a_store_leaves_the_old_config() {
    let old = everything();
    let new = Config { name: "kitchen-2".into(), ..everything() };
    let after = Config::new("after");
    let program_length = encode_sector(&new, 1).unwrap().len();
    let whole = SECTOR_SIZE as usize + program_length;

    let blank = Nor::blank();
    let mut once = blank.clone();
    store(&mut once, &old).unwrap();
    let mut twice = once.clone();
    store(&mut twice, &Config::new("oldest")).unwrap();
    store(&mut twice, &old).unwrap();

    for start in [blank, once, twice] {
        let before = loaded(&mut start.clone());
        // Every byte of programming; of erasing, which goes the same way for all bytes, every 16th and both ends.
        let sector = SECTOR_SIZE as usize;
        let erasing = (0..sector).filter(|cut| cut.is_multiple_of(16) || *cut < 8 || *cut > sector - 8);
        for cut in erasing.chain(sector..whole) {
            let mut flash =
                Nor { power: Some(cut), torn_bits: [0x00, 0x55, 0xAA, 0xFF][cut % 4], ..start.clone() };
            assert_eq!(store(&mut flash, &new), Err(StoreError::Flash(NorError::Power)), "{cut}");

            flash.power = None;
            let survived = loaded(&mut flash);
            if cut + 1 == whole && survived != before {
                // The very last byte of the magic was already right when the power went.
                assert_eq!(survived.map(|(_, _, config)| config).as_ref(), Some(&new));
            } else {
                assert_eq!(survived, before, "cut at {cut} of {whole}");
            }
            let (slot, sequence) = store(&mut flash, &after).unwrap();
            assert_eq!(loaded(&mut flash), Some((slot, sequence, after.clone())), "{cut}");
        }
        let mut flash = Nor { power: Some(whole), ..start };
        store(&mut flash, &new).unwrap();
        assert_eq!(loaded(&mut flash).map(|(_, _, config)| config).as_ref(), Some(&new));
    }
}

#[test]
fn erasing_that_stops_with_garbage_leaves_the_old_config() {
    let mut flash = Nor::blank();
    store(&mut flash, &everything()).unwrap();
    let before = loaded(&mut flash);
    for garbage in [0x00_u8, 0x55, 0xA5, 0xFE] {
        flash.put(Slot::B, &[garbage; SECTOR_SIZE as usize]);
        assert_eq!(loaded(&mut flash), before);
        assert_eq!(store(&mut flash.clone(), &Config::new("after")), Ok((Slot::B, 2)));
    }
}

#[test]
fn a_worn_out_cell_is_found_and_the_old_config_stays() {
    let mut flash = Nor::blank();
    store(&mut flash, &everything()).unwrap();
    let before = loaded(&mut flash);
    for offset in [0, 1, 4, 20, 21, 100] {
        let mut flash = Nor { stuck_at: Some(CONFIG_B.offset + offset), ..flash.clone() };
        // The name is behind the header; its bytes are none of FF.
        let outcome = store(&mut flash, &everything());
        assert_eq!(outcome, Err(StoreError::Differs { slot: Slot::B }), "{offset}");
        assert_eq!(loaded(&mut flash), before, "{offset}");
    }
}

#[test]
fn a_config_that_is_too_long_does_not_touch_the_flash() {
    let mut flash = Nor::blank();
    store(&mut flash, &everything()).unwrap();
    let mut config = everything();
    config.bridges[0].host = "h".repeat(5000);
    let erased = flash.erased;
    assert!(matches!(store(&mut flash, &config), Err(StoreError::Encode(EncodeError::TooLong { .. }))));
    assert_eq!(flash.erased, erased);
    assert_eq!(loaded(&mut flash).map(|(_, _, config)| config), Some(everything()));
}

#[test]
fn a_config_that_fills_the_sector_to_the_last_byte_is_stored_and_read() {
    let config = filling_a_slot();
    assert_eq!(encode_sector(&config, 1).unwrap().len(), SECTOR_SIZE as usize);
    let mut flash = Nor::blank();
    assert_eq!(store(&mut flash, &config), Ok((Slot::A, 1)));
    assert_eq!(loaded(&mut flash), Some((Slot::A, 1, config)));
}

#[test]
fn every_flipped_bit_of_header_and_payload_is_detected() {
    let mut bytes = encode_sector(&everything(), 7).unwrap();
    let used = HEADER_LENGTH + SlotHeader::parse(&bytes).unwrap().length as usize;
    bytes.resize(SECTOR_SIZE as usize, 0xFF);
    let whole = read_sector(&bytes);
    assert!(matches!(&whole, SlotState::Valid(record) if record.sequence == 7));
    for bit in 0..used * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let state = read_sector(&bytes);
        assert!(matches!(state, SlotState::Damaged(_)), "bit {bit}: {state:?}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // Behind the payload a flip harms nobody, and must not cost the config.
    for bit in [used * 8, used * 8 + 77, bytes.len() * 8 - 1] {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read_sector(&bytes), whole);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn header_first_and_then_only_the_payload_is_enough() {
    let bytes = encode_sector(&everything(), 3).unwrap();
    let header = SlotHeader::parse(&bytes[..HEADER_LENGTH]).unwrap();
    let used = HEADER_LENGTH + header.length as usize;
    assert_eq!((header.format, header.sequence), (1, 3));
    let SlotState::Valid(record) = read_sector(&bytes[..used]) else { panic!("a whole record") };
    assert_eq!((record.sequence, record.crc, record.config), (3, header.crc, everything()));
    for cut in 0..used {
        assert_eq!(read_sector(&bytes[..cut]), SlotState::Damaged(Damage::Cut), "{cut}");
    }
}

#[test]
fn damage_is_named() {
    let good = encode_sector(&Config::new("x"), 1).unwrap();
    let damaged = |bytes: &[u8]| match read_sector(bytes) {
        SlotState::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    };
    assert_eq!(read_sector(&[0xFF; 4096]), SlotState::Blank);
    assert_eq!(SlotHeader::parse(&[0xFF; HEADER_LENGTH]), Err(HeaderFault::Blank));
    assert_eq!(HeaderFault::Blank.to_string(), "sector is blank");

    let mut unfinished = good.clone();
    unfinished[..4].fill(0xFF);
    assert_eq!(damaged(&unfinished), Damage::Magic);
    assert_eq!(damaged(&unfinished).to_string(), "sector was not written to its end");

    let mut long = good.clone();
    long[12..16].copy_from_slice(&4077_u32.to_le_bytes());
    assert_eq!(damaged(&long).to_string(), "payload is longer than 4076 bytes: 4077");

    let mut flipped = good.clone();
    flipped[30] ^= 1;
    assert!(damaged(&flipped).to_string().starts_with("checksum is not the stated "));

    assert_eq!(damaged(&sector(1, 1, &[])), Damage::Content(DecodeError::Cut));
    assert_eq!(damaged(&sector(0, 1, &good[HEADER_LENGTH..])), Damage::Format { format: 0 });
}

#[test]
fn a_newer_format_is_told_from_damage_and_spared_while_there_is_room() {
    let newer = sector(2, 9, b"what only version 2 understands");
    assert_eq!(read_sector(&newer), SlotState::Newer { format: 2, sequence: 9 });

    let mut flash = Nor::blank();
    flash.put(Slot::A, &newer);
    assert_eq!(load(&mut flash).unwrap(), Loaded::Nothing(Absence::Newer { format: 2 }));
    assert_eq!(store(&mut flash, &Config::new("older")), Ok((Slot::B, 10)));
    assert!(flash.sector(Slot::A).starts_with(&newer), "a newer program finds its config again");
    assert_eq!(loaded(&mut flash).map(|(slot, ..)| slot), Some(Slot::B));

    // Now one of the two must go, and it is not the one that this program runs on.
    assert_eq!(store(&mut flash, &Config::new("older-2")), Ok((Slot::A, 11)));
    assert_eq!(loaded(&mut flash), Some((Slot::A, 11, Config::new("older-2"))));
}

#[test]
fn a_damaged_newest_slot_falls_back_to_the_one_before() {
    let mut flash = Nor::blank();
    store(&mut flash, &Config::new("first")).unwrap();
    store(&mut flash, &Config::new("second")).unwrap();
    let mut damaged = flash.sector(Slot::B).to_vec();
    damaged[40] ^= 4;
    flash.put(Slot::B, &damaged);
    assert_eq!(loaded(&mut flash), Some((Slot::A, 1, Config::new("first"))));

    // The same with a right CRC over what is no config: it must not count as the newest when the next write goes.
    flash.put(Slot::B, &sector(1, 2, b"\xA0"));
    assert_eq!(loaded(&mut flash), Some((Slot::A, 1, Config::new("first"))));
    assert_eq!(store(&mut flash, &Config::new("third")), Ok((Slot::B, 2)));
}

#[test]
fn why_there_is_no_config_is_the_most_telling_of_both_slots() {
    let reason = |a: &[u8], b: &[u8]| {
        let mut flash = Nor::blank();
        flash.put(Slot::A, a);
        flash.put(Slot::B, b);
        match load(&mut flash).unwrap() {
            Loaded::Nothing(absence) => absence.to_string(),
            config => panic!("{config:?}"),
        }
    };
    let (blank, damaged, newer) = (&[][..], &b"rubbish"[..], &sector(3, 1, b"")[..]);
    assert_eq!(reason(blank, blank), "blank");
    assert_eq!((reason(blank, damaged), reason(damaged, blank)), ("damaged".into(), "damaged".into()));
    assert_eq!((reason(newer, damaged), reason(blank, newer)), ("newer".into(), "newer".into()));
}

#[test]
fn host_and_device_choose_the_same_slot_for_the_next_write() {
    let a = encode_sector(&Config::new("a"), 4).unwrap();
    let b = encode_sector(&Config::new("b"), 5).unwrap();
    let mut flash = Nor::blank();
    flash.put(Slot::A, &a);
    flash.put(Slot::B, &b);
    let chosen = next(&read_sector(&a), &read_sector(&b));
    assert_eq!(chosen, (Slot::A, 6));
    let config = Config::new("c");
    assert_eq!(store(&mut flash, &config), Ok(chosen));
    let written = encode_sector(&config, 6).unwrap();
    assert!(flash.sector(Slot::A).starts_with(&written), "and write the same bytes");
}
