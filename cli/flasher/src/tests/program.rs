//! Writing through the boot ROM: order, retries, refusals, power cuts.

use super::*;
use crate::{
    Cancel, CommandError, ConnectOptions, Content, EraseAllowed, EraseError, ProgramError, Programmed,
    Session, Verified,
};

const IMAGE: u32 = 3 * 4096 + 100;

fn image() -> Region {
    let mut bytes = pattern(IMAGE);
    bytes[0] = 0xE9;
    region("image", 0, bytes, Order::FirstSectorLast)
}

fn program(bench: &Bench, regions: &[Region]) -> Result<Vec<Programmed>, ProgramError> {
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    session.program(regions, &EraseAllowed::everything())
}

fn holds(bench: &Bench, region: &Region) -> bool {
    let start = region.offset as usize;
    bench.device().flash[start..start + region.bytes.len()] == region.bytes
}

#[test]
fn the_first_sector_is_erased_first_and_written_last() {
    let bench = Bench::new(|_| {});
    let image = image();
    let results = program(&bench, std::slice::from_ref(&image)).unwrap();
    assert_eq!(results[0].verified, Verified::NotPossibleOnRom);
    assert_eq!(results[0].bytes, IMAGE);
    assert!(holds(&bench, &image));
    let device = bench.device();
    let begins: Vec<_> =
        device.requests.iter().filter(|request| request.starts_with("FLASH_BEGIN")).collect();
    assert_eq!(
        begins,
        [
            "FLASH_BEGIN erase 0x0 blocks 0 at 0x0",
            // Two of three sectors, as the ROM erases twice what it is asked for; the third goes through registers.
            "FLASH_BEGIN erase 0x1000 blocks 0 at 0x1000",
            "FLASH_BEGIN erase 0x0 blocks 9 at 0x1000",
            "FLASH_BEGIN erase 0x0 blocks 4 at 0x0",
            // The header goes at the very end.
            "FLASH_BEGIN erase 0x0 blocks 1 at 0x0",
        ]
    );
    assert!(!device.requests.contains(&"FLASH_END".to_owned()));
    assert!(device.flash[4 * 4096..].iter().all(|&byte| byte == 0x5A), "nothing behind the image is touched");
}

#[test]
fn writing_one_config_slot_leaves_the_other_alone() {
    for offset in [0x1_0000, 0x1_5000, 0x1_F000] {
        let bench = Bench::new(|_| {});
        let slot = region("config-a", offset, pattern(500), Order::Ascending);
        let results = program(&bench, std::slice::from_ref(&slot)).unwrap();
        assert_eq!(results[0].verified, Verified::Matches, "small regions are read back");
        let device = bench.device();
        let (start, end) = (offset as usize, offset as usize + 4096);
        assert!(device.flash[start + 512..end].iter().all(|&byte| byte == 0xFF));
        assert!(
            device.flash[..start].iter().chain(&device.flash[end..]).all(|&byte| byte == 0x5A),
            "{offset:#x}"
        );
    }
}

#[test]
fn a_power_cut_at_any_request_never_leaves_a_startable_half_image() {
    let image = image();
    let config = region("config-a", 0x8000, pattern(300), Order::Ascending);
    for cut in 1.. {
        let bench = Bench::new(|device| {
            device.fault = Box::new(move |index, _| if index == cut { Fault::Unplug } else { Fault::None });
        });
        let result = program(&bench, &[image.clone(), config.clone()]);
        let starts = bench.device().flash[0] == 0xE9;
        assert!(!starts || (holds(&bench, &image) && holds(&bench, &config)), "cut at request {cut}");
        if result.is_ok() {
            assert!(starts && holds(&bench, &image));
            assert!(cut > 20, "cuts were tried at {cut} places");
            break;
        }
    }
}

#[test]
fn one_fault_at_any_request_is_survived() {
    let image = image();
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::Refuse(Refusal::Checksum), Fault::DamageWrite]
    {
        for place in 1.. {
            let bench = Bench::new(|device| {
                device.fault = Box::new(move |index, command| {
                    let is_block = matches!(command, Command::FlashData { .. });
                    if index == place && (fault != Fault::DamageWrite || is_block) {
                        fault
                    } else {
                        Fault::None
                    }
                });
            });
            let slot = region("config-a", 0x8000, pattern(300), Order::Ascending);
            let results = program(&bench, &[slot.clone(), image.clone()]).unwrap();
            assert_eq!(results[0].region, "config-a");
            assert_eq!(results[0].verified, Verified::Matches, "{fault:?} at request {place}");
            assert!(holds(&bench, &slot), "{fault:?} at request {place}");
            if fault != Fault::DamageWrite {
                assert!(holds(&bench, &image), "{fault:?} at request {place}");
            }
            if bench.device().requests.len() <= place {
                assert!(place > 100, "faults were tried at {place} places");
                break;
            }
        }
    }
}

#[test]
fn a_block_that_always_fails_is_tried_three_times_and_named() {
    let bench = Bench::new(|device| {
        device.fault = Box::new(|_, command| match command {
            Command::FlashData { sequence: 2, .. } => Fault::Refuse(Refusal::FlashWrite),
            _ => Fault::None,
        });
    });
    let error = program(&bench, &[region("store", 0x4000, pattern(4096), Order::Ascending)]).unwrap_err();
    let ProgramError::Write { region, offset, source } = error else { panic!("{error}") };
    assert_eq!((region.as_str(), offset), ("store", 0x4800));
    assert!(matches!(source, CommandError::Refused { refusal: Refusal::FlashWrite, .. }));
    let begins = bench.device().requests.iter().filter(|request| request.contains("blocks 4")).count();
    assert_eq!(begins, 3);
}

#[test]
fn a_region_that_stays_different_is_reported_with_place_and_bytes() {
    let bench = Bench::new(|device| {
        device.fault = Box::new(|_, command| match command {
            Command::FlashData { sequence: 1, .. } => Fault::DamageWrite,
            _ => Fault::None,
        });
    });
    let slot = region("config-a", 0x8000, vec![0x41; 2048], Order::Ascending);
    let results = program(&bench, &[slot]).unwrap();
    let Verified::Differs(difference) = &results[0].verified else { panic!("{results:?}") };
    assert_eq!((difference.region.as_str(), difference.offset), ("config-a", 0x8400));
    assert_eq!((difference.expected, difference.found), (Content::Byte(0x41), Content::Byte(0x51)));
}

#[test]
fn a_plan_that_cannot_be_is_refused_before_anything_is_sent() {
    let bench = Bench::new(|_| {});
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    let before = bench.device().requests.len();
    let mut refused =
        |regions: &[Region], allowed: &EraseAllowed| session.program(regions, allowed).unwrap_err();
    let everything = EraseAllowed::everything();
    let at = |offset, length| region("r", offset, vec![0; length], Order::Ascending);
    assert!(matches!(
        refused(&[at(0x1001, 1)], &everything),
        ProgramError::Misaligned { offset: 0x1001, .. }
    ));
    assert!(matches!(refused(&[at(0x1000, 0)], &everything), ProgramError::Length { length: 0, .. }));
    assert!(matches!(refused(&[at(0xFFFF_F000, 4096)], &everything), ProgramError::Length { .. }));
    let overlap = refused(&[at(0x1000, 4097), at(0x2000, 1)], &everything);
    assert!(matches!(overlap, ProgramError::Overlap { .. }));
    let narrow = EraseAllowed::only([0x1000..0x2000, 0x3000..0x4000]);
    let not_allowed = refused(&[at(0x1000, 4096), at(0x2000, 1)], &narrow);
    assert!(matches!(not_allowed, ProgramError::NotAllowed { start: 0x2000, end: 0x3000, .. }));
    assert_eq!(bench.device().requests.len(), before);
}

#[test]
fn cancelling_between_two_blocks_leaves_the_loader_answering() {
    let cancel = Cancel::default();
    let asked = cancel.clone();
    let bench = Bench::new(|device| {
        device.fault = Box::new(move |_, command| {
            if matches!(command, Command::FlashData { sequence: 2, .. }) {
                asked.cancel();
            }
            Fault::None
        });
    });
    let mut events = ignore;
    let options = ConnectOptions { cancel, ..ConnectOptions::default() };
    let mut session = Session::connect(bench.port(), options, &mut events).unwrap();
    let error = session.program(&[image()], &EraseAllowed::everything()).unwrap_err();
    assert!(
        matches!(error, ProgramError::Write { source: CommandError::Cancelled, offset: 0x1C00, .. }),
        "{error}"
    );
    assert_ne!(bench.device().flash[0], 0xE9);
    drop(session);
    bench.device().fault = Box::new(|_, _| Fault::None);
    program(&bench, &[image()]).unwrap();
    assert!(holds(&bench, &image()));
}

#[test]
fn erasing_takes_whole_agreed_sectors_and_no_other() {
    let bench = Bench::new(|_| {});
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    let allowed = EraseAllowed::only(std::iter::once(0x3000..0x5_0000));
    let misaligned = session.erase("store", 0x3000..0x3001, &allowed).unwrap_err();
    assert_eq!(misaligned, EraseError::Misaligned { start: 0x3000, end: 0x3001 });
    let not_allowed = session.erase("store", 0x2000..0x4000, &allowed).unwrap_err();
    assert_eq!(not_allowed, EraseError::NotAllowed { start: 0x2000, end: 0x4000 });
    session.erase("store", 0x3000..0x4_7000, &allowed).unwrap();
    let device = bench.device();
    assert!(device.flash[0x3000..0x4_7000].iter().all(|&byte| byte == 0xFF));
    assert!(device.flash[..0x3000].iter().chain(&device.flash[0x4_7000..]).all(|&byte| byte == 0x5A));
}
