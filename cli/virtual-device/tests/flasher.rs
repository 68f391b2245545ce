//! The project's own flasher against the virtual device on the simulated clock, first without and then with faults.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends here")]

mod common;

use std::time::Duration;

use common::{Path, program, region, session, simulated, stub};
use espbroker_config::flash_map::{CONFIG_A, CONFIG_B};
use espbroker_flasher::protocol::Opcode;
use espbroker_flasher::transport::Transport as _;
use espbroker_flasher::{
    BootLog, BootVerdict, CommandError, ConnectError, Console, Diagnosis, EraseAllowed, Event, FlasherError,
    IdentifyError, Order, ProgramError, Reset, StubStart, TransportError, Verified, Warning, Wiring,
};
use espbroker_virtual_device::{
    Clock, Direction, Fault, FlashButton, FlashSource, Options, Pace, Timing, VirtualDevice,
    Wiring as BoardWiring, image,
};

const SECTOR: usize = 4096;

fn filled(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn boot_verdict(device: &VirtualDevice) -> BootVerdict {
    let mut ignore = |_| {};
    let transport = Box::new(device.transport());
    let mut console = Console::new(transport, Wiring::default(), Default::default(), &mut ignore);
    match console.reset(BootLog::Read).unwrap() {
        Reset::Done { log: Some(log) } => log.verdict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blank_board_is_identified_flashed_through_the_rom_and_starts() {
    let device = simulated(vec![], vec![]);
    assert_eq!(boot_verdict(&device), BootVerdict::NothingToStart);
    let (info, _) = session(&device, |session| session.identify().unwrap());
    let info = info.unwrap();
    assert_eq!((info.mac, info.crystal_mhz), ([0x5C, 0xCF, 0x7F, 0, 0, 1], 26));
    assert_eq!((info.flash.manufacturer, info.flash.capacity), (0xEF, Some(0x40_0000)));

    let image = image::build("1.2.3").unwrap();
    let before = device.transport().now();
    let result = program(&device, Path::Rom, &[region("image", 0, image.clone(), Order::FirstSectorLast)]);
    assert_eq!(result.unwrap().unwrap()[0].verified, Verified::NotPossibleOnRom);
    let took = device.transport().now() - before;
    assert!((22..32).contains(&took.as_secs()), "a real board needs about 25 s: {took:?}");
    let flash = device.flash();
    assert!(flash[..image.len()] == image && flash[image.len()..].iter().all(|&byte| byte == 0xFF));
    assert_eq!(boot_verdict(&device), BootVerdict::Started);
}

#[test]
fn a_stub_makes_it_faster_and_verifies() {
    let device = simulated(vec![], vec![]);
    let image = image::build("1.2.3").unwrap();
    let before = device.transport().now();
    let result = program(&device, Path::Stub, &[region("image", 0, image.clone(), Order::FirstSectorLast)]);
    assert_eq!(result.unwrap().unwrap()[0].verified, Verified::Matches);
    let took = device.transport().now() - before;
    assert!((4..10).contains(&took.as_secs()), "{took:?}");
    assert!(device.flash()[..image.len()] == image);
    let (read, _) = session(&device, |session| session.read("image", 0x1000..0x5123).unwrap());
    assert!(read.unwrap() == image[0x1000..0x5123]);
}

#[test]
fn one_config_slot_is_written_and_read_without_touching_the_other_on_both_paths() {
    for path in [Path::Rom, Path::Stub] {
        let mut flash = vec![0xFF; CONFIG_B.end() as usize];
        flash[CONFIG_B.offset as usize..].fill(0x5A);
        let device = simulated(flash, vec![]);
        let bytes = filled(700, 1);
        let slot = region("config-a", CONFIG_A.offset, bytes.clone(), Order::Ascending);
        let result = program(&device, path, std::slice::from_ref(&slot));
        assert_eq!(result.unwrap().unwrap()[0].verified, Verified::Matches);
        let flash = device.flash();
        assert!(flash[CONFIG_A.offset as usize..][..700] == bytes);
        assert!(flash[CONFIG_B.offset as usize..][..SECTOR].iter().all(|&byte| byte == 0x5A), "{path:?}");
        let (read, _) = session(&device, |session| session.read("config-a", slot.span()).unwrap());
        assert!(read.unwrap() == bytes);
    }
}

#[test]
fn the_rom_erases_all_sectors_that_are_wanted_and_no_other() {
    let cases: Vec<(u32, u32)> = [0, 1, 7, 14, 15]
        .iter()
        .flat_map(|&start| [1, 2, 3, 4, 16, 17, 31, 33].map(|count| (start, count)))
        .collect();
    for (start, count) in cases.into_iter().chain([(1023, 1), (1021, 3), (1008, 16)]) {
        let device = simulated(vec![0; 0x40_0000], vec![]);
        let span = start * 4096..(start + count) * 4096;
        let allowed = EraseAllowed::only([span.clone()]);
        let (result, _) = session(&device, |session| session.erase("test", span, &allowed));
        result.unwrap().unwrap();
        let flash = device.flash();
        let erased: Vec<u32> =
            (0..).zip(flash.chunks(SECTOR)).filter(|(_, sector)| sector[0] == 0xFF).map(|(n, _)| n).collect();
        assert_eq!(erased, (start..start + count).collect::<Vec<u32>>(), "{count} sectors from {start}");
    }
}

/// Three sectors and a piece: small enough to try every operation, large enough for first-sector-last to matter.
fn small_image(seed: u32) -> Vec<u8> {
    let mut image = filled(3 * SECTOR + 500, seed);
    image[0] = 0xE9;
    image
}

#[test]
fn a_power_cut_at_any_flash_operation_never_leaves_half_an_image_and_the_next_run_completes() {
    // The stub programs 32 bytes at a time: every 31st operation still meets each sector several times.
    for (path, stride) in [(Path::Rom, 1), (Path::Stub, 31)] {
        let old = small_image(1);
        let new = region("image", 0, small_image(2), Order::FirstSectorLast);
        let mut cuts = 0;
        loop {
            let device = simulated(old.clone(), vec![Fault::PowerCutAfterFlashOperations(cuts)]);
            let result = program(&device, path, std::slice::from_ref(&new));
            let flash = device.flash();
            let done = flash[..new.bytes.len()] == new.bytes;
            if !device.lost_power() {
                assert!(done && result.unwrap().is_ok());
                break;
            }
            assert!(!matches!(result, Ok(Ok(_))), "{path:?}, cut {cuts}: a dead device was not noticed");
            // As long as not everything is right, the first sector holds nothing that starts a strange mixture: its
            // last page may be missing, but then the rest is whole.
            let rest_is_new = flash[SECTOR..new.bytes.len()] == new.bytes[SECTOR..];
            let rest_is_old = flash[SECTOR..old.len()] == old[SECTOR..];
            assert!(done || flash[0] != 0xE9 || rest_is_new || rest_is_old, "{path:?}, cut {cuts}");
            device.power_cycle();
            let result = program(&device, path, std::slice::from_ref(&new));
            assert!(result.unwrap().is_ok(), "{path:?}, cut {cuts}");
            assert!(device.flash()[..new.bytes.len()] == new.bytes);
            cuts += stride;
        }
        assert!(cuts > 50, "{path:?}: only {cuts} operations");
    }
}

#[test]
fn a_power_cut_while_one_config_slot_is_written_never_harms_the_other() {
    let old = filled(SECTOR, 3);
    let slot = region("config-b", CONFIG_B.offset, filled(900, 4), Order::Ascending);
    let mut flash = vec![0xFF; CONFIG_B.end() as usize];
    flash[CONFIG_A.offset as usize..][..SECTOR].copy_from_slice(&old);
    for cut in 0.. {
        let device = simulated(flash.clone(), vec![]);
        device.cut_power_after(cut);
        let result = program(&device, Path::Rom, std::slice::from_ref(&slot));
        assert!(device.flash()[CONFIG_A.offset as usize..][..SECTOR] == old);
        if !device.lost_power() {
            assert!(result.unwrap().is_ok() && cut > 4);
            assert_eq!(device.flash_operations(), cut, "this was the first number that sufficed");
            return;
        }
        device.power_cycle();
        let result = program(&device, Path::Rom, std::slice::from_ref(&slot));
        assert_eq!(result.unwrap().unwrap()[0].verified, Verified::Matches);
        assert!(device.flash()[CONFIG_A.offset as usize..][..SECTOR] == old);
    }
}

#[test]
fn lost_flipped_and_extra_bytes_anywhere_are_overcome() {
    let new = region("image", 0, small_image(2), Order::FirstSectorLast);
    for (path, steps) in [(Path::Rom, 12), (Path::Stub, 5)] {
        for step in 0..steps {
            for direction in [Direction::ToDevice, Direction::ToHost] {
                // The device sends far fewer bytes than it gets.
                let at = match direction {
                    Direction::ToDevice => 90 + step * 13_404 / steps,
                    Direction::ToHost => 70 + step * 492 / steps,
                };
                for fault in [
                    Fault::LoseByte { direction, at },
                    Fault::FlipBits { direction, at, mask: 0x10 },
                    Fault::Noise { direction, at, length: 5 },
                ] {
                    let device = simulated(small_image(1), vec![fault.clone()]);
                    let result = program(&device, path, std::slice::from_ref(&new));
                    assert!(result.unwrap().is_ok(), "{path:?} {fault:?}");
                    assert!(device.flash()[..new.bytes.len()] == new.bytes, "{path:?} {fault:?}");
                }
            }
        }
    }
}

#[test]
fn a_late_reply_is_not_taken_for_the_next_one() {
    let new = region("image", 0, small_image(2), Order::FirstSectorLast);
    let opcodes =
        [Opcode::Sync, Opcode::FlashBegin, Opcode::FlashData, Opcode::WriteRegister, Opcode::ReadRegister];
    for opcode in opcodes {
        for delay in [1_000, 3_400, 20_000].map(Duration::from_millis) {
            let late = Fault::LateReply { opcode, delay, times: 1 };
            let device = simulated(small_image(1), vec![late]);
            let result = program(&device, Path::Rom, std::slice::from_ref(&new));
            match result.unwrap() {
                Ok(_) => assert!(device.flash()[..new.bytes.len()] == new.bytes, "{opcode} {delay:?}"),
                // After 20 s of silence nobody is believed to be there.
                Err(error) => {
                    let error = FlasherError::from(error);
                    assert!(delay.as_secs() == 20, "{opcode} {delay:?}: {error}");
                    assert!(matches!(error.command(), Some(CommandError::NoReply { .. })), "{error}");
                }
            }
        }
    }
}

#[test]
fn another_chip_a_small_flash_and_an_unreadable_one_are_told_apart() {
    let identify = |faults| session(&simulated(vec![], faults), |session| session.identify()).0.unwrap();
    assert!(matches!(
        identify(vec![Fault::WrongChip { magic: 0x00F0_1D83 }]),
        Err(IdentifyError::WrongChip { found: 0x00F0_1D83, .. })
    ));
    let small = identify(vec![Fault::FlashId([0xEF, 0x40, 0x14])]).unwrap();
    assert_eq!(small.flash.capacity, Some(0x10_0000));
    let unreadable = identify(vec![Fault::UnreadableFlash]).unwrap();
    assert_eq!(unreadable.flash.capacity, None);
}

#[test]
fn a_worn_sector_is_an_error_or_a_difference_and_never_a_success() {
    for path in [Path::Rom, Path::Stub] {
        let device = simulated(small_image(1), vec![Fault::WornSector { address: 0x1000 }]);
        let new = region("image", 0, small_image(2), Order::FirstSectorLast);
        match program(&device, path, &[new]).unwrap() {
            Err(ProgramError::Write { .. } | ProgramError::Erase { .. }) => assert_eq!(path, Path::Rom),
            Ok(done) => assert!(matches!(done[0].verified, Verified::Differs(_)), "{path:?} {done:?}"),
            Err(other) => panic!("{path:?} {other}"),
        }
    }
}

#[test]
fn a_pulled_adapter_is_a_port_that_disappeared() {
    for bytes in [500, 3_000, 9_000] {
        let device = simulated(small_image(1), vec![Fault::UnplugAfterBytes(bytes)]);
        let new = region("image", 0, small_image(2), Order::FirstSectorLast);
        let error = match program(&device, Path::Rom, std::slice::from_ref(&new)) {
            Ok(result) => FlasherError::from(result.unwrap_err()),
            Err(error) => error.into(),
        };
        assert!(matches!(error.transport(), Some(TransportError::Gone { .. })), "{error}");
        device.plug_in();
        assert!(program(&device, Path::Rom, &[new]).unwrap().is_ok());
    }
}

#[test]
fn ports_that_were_open_stay_dead_after_the_adapter_is_back() {
    let device = simulated(vec![], vec![]);
    let mut port = device.transport();
    device.unplug();
    device.plug_in();
    assert!(matches!(port.write_all(b"x"), Err(TransportError::Gone { .. })));
    assert_eq!(device.transport().write_all(b"x"), Ok(()));
}

#[test]
fn without_pace_an_image_is_written_on_the_real_clock_too() {
    let timing = Timing { uart: Pace::Instant, nor: Pace::Instant };
    let device = VirtualDevice::new(Options { timing, ..Options::default() }).unwrap();
    let image = image::build("1.2.3").unwrap();
    let new = region("image", 0, image.clone(), Order::FirstSectorLast);
    assert!(program(&device, Path::Rom, &[new]).unwrap().is_ok());
    assert!(device.flash()[..image.len()] == image);
}

#[test]
fn a_stub_that_does_not_start_leaves_the_rom_and_a_bad_line_a_lower_rate() {
    let start = |faults| {
        let device = simulated(vec![], faults);
        let (result, events) =
            session(&device, |session| session.start_stub(&stub(), &espbroker_flasher::BAUD_LADDER).unwrap());
        (result.unwrap(), events)
    };
    assert_eq!(start(vec![]).0, StubStart::Running { baud: 460_800 });
    assert!(matches!(start(vec![Fault::StubDoesNotStart]).0, StubStart::RomOnly { .. }));
    let (result, events) = start(vec![Fault::BaudCeiling(250_000)]);
    assert_eq!(result, StubStart::Running { baud: 230_400 });
    assert!(events.contains(&Event::Warning(Warning::BaudFailed { baud: 460_800 })));
    assert_eq!(start(vec![Fault::BaudCeiling(115_200)]).0, StubStart::Running { baud: 115_200 });
}

#[test]
fn no_reply_is_diagnosed_by_the_boot_log() {
    let diagnose = |device: &VirtualDevice| match session(device, |_| ()).0 {
        Err(ConnectError::NoReply { diagnosis, .. }) => diagnosis,
        other => panic!("{other:?}"),
    };
    let sdio = diagnose(&simulated(vec![], vec![Fault::Gpio15High]));
    assert!(matches!(sdio, Diagnosis::OtherBootMode { .. }), "{sdio:?}");
    let silent = diagnose(&simulated(vec![], vec![Fault::SilentLine]));
    assert!(matches!(silent, Diagnosis::Silence), "{silent:?}");
}

#[test]
fn a_board_without_reset_lines_is_flashed_with_the_button_held() {
    let flash = FlashSource::Blank;
    let wiring = BoardWiring::Manual(FlashButton::HeldUntilFlashed);
    let options = Options { flash, wiring, clock: Clock::Simulated, ..Options::default() };
    let device = VirtualDevice::new(options).unwrap();
    let new = region("image", 0, image::build("1.2.3").unwrap(), Order::FirstSectorLast);
    assert!(program(&device, Path::Rom, &[new]).unwrap().is_ok());
    assert!(!device.runs_firmware());
    device.power_cycle();
    device.transport().sleep(Duration::from_secs(1));
    assert!(device.runs_firmware());
}
