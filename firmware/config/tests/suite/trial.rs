//! Configs on trial, over a flash that loses power at every byte and wears out.

use espbroker_config::{
    codec::EncodeError,
    flash_map::{CONFIG_A, CONFIG_B},
    model::Config,
    slots::{
        HEADER_LENGTH, History, Loaded, Mark, RollBack, Slot, SlotHeader, SlotState, Standing, StoreError,
        TAIL, TAIL_LENGTH, TRIAL_PAYLOAD_MAX, encode_sector, encode_sector_on_trial, history, load, mark,
        next, read_sector, read_sector_parts, select, store, store_on_trial,
    },
};

use crate::{
    nor::{Nor, NorError},
    samples::{everything, filling_a_slot},
};

/// Name and standing of the config that the device would run on. Device and host agree, also a host that reads no more
/// than header, payload and tail.
fn runs_on(flash: &mut Nor) -> Option<(String, Standing)> {
    let (a, b) = (flash.sector(Slot::A).to_vec(), flash.sector(Slot::B).to_vec());
    let whole = (read_sector(&a), read_sector(&b));
    let part = |sector: &[u8]| {
        let length = SlotHeader::parse(sector).map_or(0, |header| header.length as usize);
        read_sector_parts(&sector[..HEADER_LENGTH + length], sector.last_chunk::<TAIL_LENGTH>())
    };
    assert_eq!((part(&a), part(&b)), whole);
    let selected = select(&whole.0, &whole.1).map(|(_, record)| record);
    let loaded = match load(flash).unwrap() {
        Loaded::Config { record, .. } => Some(record),
        Loaded::Nothing(_) => None,
    };
    assert_eq!(loaded.as_ref(), selected, "device and host agree");
    loaded.map(|record| (record.config.name, record.standing))
}

fn on_trial(starts: u8) -> Standing {
    Standing::OnTrial { try_for: 60, starts }
}

/// `old` settled in slot A with sequence 1, `new` on trial in slot B with sequence 2.
fn trying() -> Nor {
    let mut flash = Nor::blank();
    store(&mut flash, &Config::new("old")).unwrap();
    assert_eq!(store_on_trial(&mut flash, &Config::new("new"), 60), Ok((Slot::B, 2)));
    flash
}

fn named(name: &str, standing: Standing) -> Option<(String, Standing)> {
    Some((name.into(), standing))
}

#[test]
fn a_config_on_trial_is_run_on_until_it_is_rolled_back() {
    let mut flash = trying();
    assert_eq!(runs_on(&mut flash), named("new", on_trial(0)));
    mark(&mut flash, Slot::B, Mark::Start { starts: 0 }).unwrap();
    assert_eq!(runs_on(&mut flash), named("new", on_trial(1)));

    let mut kept = flash.clone();
    mark(&mut kept, Slot::B, Mark::Kept).unwrap();
    assert_eq!(runs_on(&mut kept), named("new", Standing::Kept));
    assert_eq!(history(&mut kept), Ok(History { highest: 2, latest: Some((Slot::B, Standing::Kept)) }));
    assert_eq!(store(&mut kept, &Config::new("next")), Ok((Slot::A, 3)));

    mark(&mut flash, Slot::B, Mark::RolledBack(RollBack::BridgeRefused)).unwrap();
    assert_eq!(runs_on(&mut flash), named("old", Standing::Settled));
    let rolled_back = Standing::RolledBack(RollBack::BridgeRefused);
    assert_eq!(history(&mut flash), Ok(History { highest: 2, latest: Some((Slot::B, rolled_back)) }));
    assert_eq!(store_on_trial(&mut flash, &Config::new("again"), 10), Ok((Slot::B, 3)), "2 is used up");
}

#[test]
fn a_config_that_was_started_three_times_without_an_end_is_given_up() {
    let mut flash = trying();
    for starts in 0..3 {
        assert_eq!(runs_on(&mut flash), named("new", on_trial(starts)));
        mark(&mut flash, Slot::B, Mark::Start { starts }).unwrap();
    }
    assert_eq!(runs_on(&mut flash), named("old", Standing::Settled));
    assert_eq!(history(&mut flash), Ok(History { highest: 2, latest: Some((Slot::B, on_trial(3))) }));
    assert_eq!(store(&mut flash, &Config::new("next")), Ok((Slot::B, 3)));
}

#[test]
fn without_another_config_one_that_has_failed_is_none() {
    let mut flash = Nor::blank();
    assert_eq!(history(&mut flash), Ok(History { highest: 0, latest: None }));
    assert_eq!(store_on_trial(&mut flash, &Config::new("first"), 60), Ok((Slot::A, 1)));
    assert_eq!(runs_on(&mut flash), named("first", on_trial(0)));
    mark(&mut flash, Slot::A, Mark::RolledBack(RollBack::WrongPassphrase)).unwrap();
    assert_eq!(runs_on(&mut flash), None);
    assert_eq!(store(&mut flash, &Config::new("second")), Ok((Slot::B, 2)));
}

#[test]
fn a_write_during_a_trial_spares_the_config_that_has_proved_itself() {
    let mut flash = trying();
    let (a, b) = (read_sector(flash.sector(Slot::A)), read_sector(flash.sector(Slot::B)));
    assert_eq!(next(&a, &b), (Slot::B, 3));
    assert_eq!(store(&mut flash, &Config::new("by cable")), Ok((Slot::B, 3)));
    assert_eq!(runs_on(&mut flash), named("by cable", Standing::Settled));
}

#[test]
fn a_power_cut_at_any_byte_of_a_write_on_trial_leaves_the_old_config() {
    let new = everything();
    let written = encode_sector(&new, 1).unwrap().len() + 4;
    let whole = 4096 + written;
    let mut once = Nor::blank();
    store(&mut once, &Config::new("old")).unwrap();
    let mut rolled_back = trying();
    mark(&mut rolled_back, Slot::B, Mark::RolledBack(RollBack::NotJoined)).unwrap();

    for start in [once, rolled_back] {
        let erasing = (0..4096_usize).filter(|cut| cut.is_multiple_of(16) || *cut < 8 || *cut > 4060);
        for cut in erasing.chain(4096..whole) {
            let torn_bits = [0x00, 0x55, 0xAA, 0xFF][cut % 4];
            let mut flash = Nor { power: Some(cut), torn_bits, ..start.clone() };
            assert_eq!(
                store_on_trial(&mut flash, &new, 60),
                Err(StoreError::Flash(NorError::Power)),
                "{cut}"
            );
            flash.power = None;
            if cut + 1 == whole && runs_on(&mut flash) == named(&new.name, on_trial(0)) {
                continue; // The very last byte of the magic was already right when the power went.
            }
            assert_eq!(runs_on(&mut flash), named("old", Standing::Settled), "{cut}");
            store_on_trial(&mut flash, &Config::new("after"), 60).unwrap();
            assert_eq!(runs_on(&mut flash), named("after", on_trial(0)), "{cut}");
        }
        let mut flash = Nor { power: Some(whole), ..start };
        store_on_trial(&mut flash, &new, 60).unwrap();
        assert_eq!(runs_on(&mut flash), named(&new.name, on_trial(0)));
    }
}

#[test]
fn a_power_cut_at_any_byte_of_a_mark_leaves_what_was_or_what_will_be() {
    let marks = [
        (Mark::Start { starts: 0 }, named("new", on_trial(1))),
        (Mark::Kept, named("new", Standing::Kept)),
        (Mark::RolledBack(RollBack::Invalid), named("old", Standing::Settled)),
    ];
    for (word, after) in marks {
        for (cut, torn_bits) in (0..4).flat_map(|cut| [0x00, 0x0F, 0x55, 0xAA, 0xFF].map(|torn| (cut, torn)))
        {
            let mut flash = Nor { power: Some(cut), torn_bits, ..trying() };
            let before = named("new", on_trial(0));
            assert_eq!(mark(&mut flash, Slot::B, word), Err(NorError::Power));
            flash.power = None;
            let found = runs_on(&mut flash);
            assert!(found == before || found == after, "{word:?} cut at {cut}, {torn_bits:02x}: {found:?}");

            mark(&mut flash, Slot::B, word).unwrap();
            assert_eq!(runs_on(&mut flash), after, "{word:?} cut at {cut}, {torn_bits:02x}: done again");
            mark(&mut flash, Slot::B, word).unwrap();
            assert_eq!(runs_on(&mut flash), after, "once more changes nothing");
        }
    }
}

#[test]
fn a_whole_life_with_power_cuts_at_every_operation_never_ends_without_a_config() {
    // What the device does from the write to the end of the trial, and what it does again after each cut.
    let life = |flash: &mut Nor| -> Result<(), StoreError<NorError>> {
        if history(flash).map_err(StoreError::Flash)?.highest < 2 {
            store_on_trial(flash, &Config::new("new"), 60)?;
        }
        let starts = match runs_on(flash).map(|(_, standing)| standing) {
            Some(Standing::OnTrial { starts, .. }) => starts,
            _ => return Ok(()),
        };
        mark(flash, Slot::B, Mark::Start { starts }).map_err(StoreError::Flash)?;
        mark(flash, Slot::B, Mark::Kept).map_err(StoreError::Flash)
    };
    let mut old = Nor::blank();
    store(&mut old, &Config::new("old")).unwrap();
    let mut whole = Nor { power: Some(1 << 20), ..old.clone() };
    life(&mut whole).unwrap();
    let bytes = (1 << 20) - whole.power.unwrap();
    for first in (0..bytes).filter(|cut| cut.is_multiple_of(64) || *cut > 4090) {
        let mut flash = Nor { power: Some(first), torn_bits: 0x5A, ..old.clone() };
        let mut cuts = 0;
        while life(&mut flash).is_err() {
            cuts += 1;
            flash.power = None;
            assert!(runs_on(&mut flash).is_some(), "{first}");
            // The second time the power goes in the first of the marks, the third time it stays.
            flash.power = (cuts == 1).then_some(2);
        }
        flash.power = None;
        assert_eq!(runs_on(&mut flash), named("new", Standing::Kept), "{first}");
    }
}

#[test]
fn what_cannot_be_marked_does_not_count_as_tried() {
    let mut flash = Nor::blank();
    store(&mut flash, &Config::new("old")).unwrap();
    for offset in [0_u32, 1, 2] {
        let tail = u32::try_from(TAIL).unwrap();
        let mut flash = Nor { stuck_at: Some(CONFIG_B.offset + tail + offset), ..flash.clone() };
        let outcome = store_on_trial(&mut flash, &Config::new("new"), 60);
        assert_eq!(outcome, Err(StoreError::Differs { slot: Slot::B }), "{offset}");
        assert_eq!(runs_on(&mut flash), named("old", Standing::Settled), "{offset}");
    }
}

#[test]
fn a_config_that_reaches_into_the_last_bytes_is_written_and_cannot_be_tried() {
    let full = filling_a_slot();
    let mut flash = Nor::blank();
    let too_long = EncodeError::TooLong { length: 4076, limit: TRIAL_PAYLOAD_MAX };
    assert_eq!(store_on_trial(&mut flash, &full, 60), Err(StoreError::Encode(too_long)));
    assert_eq!(encode_sector_on_trial(&full, 1, 60), Err(too_long));
    assert_eq!(flash.erased, 0);
    assert_eq!(store(&mut flash, &full), Ok((Slot::A, 1)));
    assert_eq!(runs_on(&mut flash), named(&full.name, Standing::Settled));

    // Shorter by as much as the trial needs it can.
    let mut shorter = full;
    let host = &mut shorter.bridges[0].host;
    host.truncate(host.len() - TAIL_LENGTH);
    assert!(store_on_trial(&mut flash, &shorter, 60).is_ok());
}

#[test]
fn host_and_device_write_the_same_sector() {
    let mut flash = trying();
    let sector = encode_sector_on_trial(&Config::new("new"), 2, 60).unwrap();
    assert_eq!(flash.sector(Slot::B), sector);
    assert!(matches!(read_sector(&sector), SlotState::Valid(record) if record.standing == on_trial(0)));
    flash.put(Slot::A, &[]);
    assert_eq!(history(&mut flash), Ok(History { highest: 2, latest: Some((Slot::B, on_trial(0))) }));
    assert_eq!(CONFIG_A.length, 4096);
}
