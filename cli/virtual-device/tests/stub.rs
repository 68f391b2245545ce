//! The project's own stub as machine code, with the flasher that makes the most of it: what is written and what is not,
//! how long it takes, and that no fault leaves anything but the old, the new, or nothing that starts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends here")]

mod common;

use std::time::Duration;

use common::{Path, program, region, session, simulated, stub};
use espbroker_flasher::transport::Transport as _;
use espbroker_flasher::{
    BAUD_LADDER, BootLog, ConnectOptions, EraseAllowed, Event, FAST_RATES, Order, Prepared, Programmed,
    Region, Reset, Session, StubStart, Verified, Warning, Wiring,
};
use espbroker_virtual_device::{
    Clock, Direction, Fault, FlashButton, Options, VirtualDevice, Wiring as BoardWiring, image,
};

const SECTOR: usize = 4096;

fn filled(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] & state.to_be_bytes()[1]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn big_image(seed: u32) -> Region {
    let mut bytes = filled(500_000, seed);
    bytes[0] = 0xE9;
    region("image", 0, bytes, Order::FirstSectorLast)
}

/// From opening the port to verified, on the device's own clock.
fn timed(device: &VirtualDevice, ladder: &[u32], regions: &[Region]) -> (Duration, Vec<Programmed>) {
    let opened = device.transport().now();
    let prepared: Vec<Prepared> = regions.iter().map(Prepared::new).collect();
    let (result, _) = session(device, |session| {
        session.start_stub(&stub(), ladder).unwrap();
        session.identify().unwrap();
        prepared.into_iter().for_each(|prepared| session.offer(prepared));
        session.program(regions, &EraseAllowed::only(regions.iter().map(Region::sectors))).unwrap()
    });
    (device.transport().now() - opened, result.unwrap())
}

#[test]
fn a_first_flash_is_bound_by_the_wire_and_a_second_one_hardly_takes_time() {
    let device = simulated(vec![], vec![]);
    let old = big_image(1);
    let (first, results) = timed(&device, &BAUD_LADDER, std::slice::from_ref(&old));
    assert_eq!((results[0].verified.clone(), results[0].written), (Verified::Matches, 500_000));
    assert!(device.flash()[..old.bytes.len()] == old.bytes);

    let (again, results) = timed(&device, &BAUD_LADDER, std::slice::from_ref(&old));
    assert_eq!((results[0].verified.clone(), results[0].written), (Verified::Matches, 0));

    let mut new = old;
    for sector in [5, 6, 40, 77, 121] {
        new.bytes[sector * SECTOR + 1] ^= 0x0F;
    }
    let (changed, results) = timed(&device, &BAUD_LADDER, std::slice::from_ref(&new));
    assert_eq!((results[0].verified.clone(), results[0].written), (Verified::Matches, 5 * 4096));
    assert!(device.flash()[..new.bytes.len()] == new.bytes);

    let config = region("config-a", 0x20_0000, filled(700, 3), Order::Ascending);
    let (configured, _) = timed(&device, &BAUD_LADDER, &[config]);
    eprintln!("first {first:?}, again {again:?}, five sectors {changed:?}, config {configured:?}");
    // What 400 KB of stream need at 460800 baud, two seconds of everything else, and some reserve.
    assert!(first < Duration::from_secs(12), "{first:?}");
    assert!(again < Duration::from_millis(2_000), "{again:?}");
    assert!(changed < Duration::from_millis(3_000), "{changed:?}");
    assert!(configured < Duration::from_millis(2_500), "{configured:?}");
}

#[test]
fn the_same_again_takes_two_seconds_at_most_on_a_slow_line_too() {
    let device = simulated(big_image(1).bytes, vec![]);
    let (again, results) = timed(&device, &[], &[big_image(1)]);
    assert_eq!((results[0].verified.clone(), results[0].written), (Verified::Matches, 0));
    assert!(again < Duration::from_millis(2_200), "{again:?}");
}

#[test]
fn fast_rates_are_taken_where_the_line_bears_them_and_left_where_not() {
    let ladder: Vec<u32> = FAST_RATES.into_iter().chain(BAUD_LADDER).collect();
    let start = |ceiling| {
        let device = simulated(vec![], vec![Fault::BaudCeiling(ceiling)]);
        let (started, events) = session(&device, |session| session.start_stub(&stub(), &ladder).unwrap());
        let warnings: Vec<u32> = events
            .iter()
            .filter_map(|event| match event {
                Event::Warning(Warning::BaudFailed { baud }) => Some(*baud),
                _ => None,
            })
            .collect();
        (started.unwrap(), warnings)
    };
    assert_eq!(start(2_000_000), (StubStart::Running { baud: 1_500_000 }, vec![]));
    assert_eq!(start(1_000_000), (StubStart::Running { baud: 921_600 }, vec![1_500_000]));
    assert_eq!(start(300_000), (StubStart::Running { baud: 230_400 }, vec![1_500_000, 921_600, 460_800]));
}

#[test]
fn the_rate_goes_up_and_down_as_often_as_one_likes() {
    let device = simulated(vec![], vec![]);
    let (result, _) = session(&device, |session| {
        session.start_stub(&stub(), &[]).unwrap();
        for baud in [460_800, 115_200, 921_600, 230_400, 1_500_000, 115_200, 460_800] {
            session.set_stub_baud(baud).unwrap();
            session.round_trips(3).unwrap();
        }
    });
    result.unwrap();
}

#[test]
fn a_running_stub_is_used_again_without_an_upload() {
    let device = simulated(vec![], vec![]);
    session(&device, |session| session.start_stub(&stub(), &[]).unwrap()).0.unwrap();
    let mut ignore = |_| {};
    let options = ConnectOptions { wiring: Wiring::Manual, ..ConnectOptions::default() };
    let session = Session::connect(Box::new(device.transport()), options, &mut ignore).unwrap();
    assert!(session.stub_info().is_some());
}

/// Two images that share some sectors.
fn old_and_new() -> (Vec<u8>, Region) {
    let mut old = filled(5 * SECTOR + 500, 1);
    old[0] = 0xE9;
    let mut new = old.clone();
    for sector in [1, 2, 4] {
        new[sector * SECTOR..(sector + 1) * SECTOR].reverse();
    }
    (old, region("image", 0, new, Order::FirstSectorLast))
}

#[test]
fn a_power_cut_at_any_operation_of_a_change_leaves_the_old_the_new_or_nothing_that_starts() {
    let (old, new) = old_and_new();
    // Each operation by itself is cut where the image is all new (`flasher.rs`); here a spread will do.
    for cut in (0..).step_by(4) {
        let device = simulated(old.clone(), vec![Fault::PowerCutAfterFlashOperations(cut)]);
        let result = program(&device, Path::Stub, std::slice::from_ref(&new));
        let flash = device.flash();
        let holds = |bytes: &[u8]| flash[SECTOR..bytes.len()] == bytes[SECTOR..];
        assert!(flash[0] != 0xE9 || holds(&old) || holds(&new.bytes), "cut {cut}");
        if !device.lost_power() {
            assert!(flash[..new.bytes.len()] == new.bytes && result.unwrap().is_ok());
            assert!(cut > 60, "only {cut} operations");
            return;
        }
        assert!(!matches!(result, Ok(Ok(_))), "cut {cut}: a dead device was not noticed");
        device.power_cycle();
        let result = program(&device, Path::Stub, std::slice::from_ref(&new)).unwrap().unwrap();
        assert_eq!(result[0].verified, Verified::Matches, "cut {cut}");
        assert!(device.flash()[..new.bytes.len()] == new.bytes, "cut {cut}");
    }
}

#[test]
fn a_byte_lost_flipped_or_added_anywhere_in_a_pipeline_is_overcome() {
    let (old, new) = old_and_new();
    for step in 0..5 {
        for direction in [Direction::ToDevice, Direction::ToHost] {
            let at = match direction {
                // Behind the upload of the stub.
                Direction::ToDevice => 10_950 + step * 3_031,
                Direction::ToHost => 230 + step * 177,
            };
            for fault in [
                Fault::LoseByte { direction, at },
                Fault::FlipBits { direction, at, mask: 0x10 },
                Fault::Noise { direction, at, length: 5 },
            ] {
                let device = simulated(old.clone(), vec![fault.clone()]);
                let result = program(&device, Path::Stub, std::slice::from_ref(&new)).unwrap();
                assert_eq!(result.unwrap()[0].verified, Verified::Matches, "{fault:?}");
                assert!(device.flash()[..new.bytes.len()] == new.bytes, "{fault:?}");
            }
        }
    }
}

#[test]
fn a_worn_sector_is_a_difference_that_is_named() {
    let (old, new) = old_and_new();
    let device = simulated(old, vec![Fault::WornSector { address: 0x2000 }]);
    let results = program(&device, Path::Stub, &[new]).unwrap().unwrap();
    let Verified::Differs(difference) = &results[0].verified else { panic!("{results:?}") };
    assert_eq!(difference.offset, 0x2000);
}

#[test]
fn where_no_line_reaches_the_chip_the_stub_starts_the_firmware() {
    let wiring = BoardWiring::Manual(FlashButton::HeldUntilFlashed);
    let options = Options { wiring, clock: Clock::Simulated, ..Options::default() };
    let device = VirtualDevice::new(options).unwrap();
    let mut ignore = |_| {};
    let (wiring, patience) = (Wiring::Manual, Duration::from_secs(5));
    let connect = ConnectOptions { wiring, patience, ..ConnectOptions::default() };
    let mut session = Session::connect(Box::new(device.transport()), connect, &mut ignore).unwrap();
    assert!(matches!(session.start_stub(&stub(), &BAUD_LADDER).unwrap(), StubStart::Running { .. }));
    let new = region("image", 0, image::build("1.2.3").unwrap(), Order::FirstSectorLast);
    session.program(&[new], &EraseAllowed::everything()).unwrap();
    let mut console = session.into_console();
    assert_eq!(console.reset(BootLog::Skip), Ok(Reset::ByStub));
    drop(console);
    device.transport().sleep(Duration::from_secs(1));
    assert!(device.runs_firmware());
}
