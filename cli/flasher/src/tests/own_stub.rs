//! The project's own stub: what it is asked, what is sent ahead, and that only what differs is written.

use super::*;
use crate::{
    BAUD_LADDER, BootLog, ConnectOptions, EraseAllowed, FAST_RATES, Loader, Prepared, ProgramError,
    Programmed, Reset, Session, Stub, StubFileError, StubStart, Verified, Warning, Wiring,
};

const INFO: StubInfo = StubInfo { version: 1, receive_window: 6000, block_max: 2048 };
const SECTOR: usize = 4096;

/// An image for the boot ROM's loader with two segments.
fn stub_image() -> Vec<u8> {
    let segments: [(u32, &[u8]); 2] = [(0x4010_0000, &[1, 2, 3, 4]), (0x3FFE_8000, &[5; 12])];
    let mut image = vec![0xE9, 2, 0, 0, 0x04, 0x00, 0x10, 0x40];
    let mut sum = 0xEF;
    for (address, bytes) in segments {
        image.extend(address.to_le_bytes());
        image.extend(crate::session::length_of(bytes).to_le_bytes());
        image.extend(bytes);
        sum = bytes.iter().fold(sum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len().next_multiple_of(16) + 15 * usize::from(image.len().is_multiple_of(16)), 0);
    let last = image.len().next_multiple_of(16) - 1;
    image.resize(last + 1, 0);
    image[last] = sum;
    image
}

fn stub() -> Stub {
    Stub::from_image(&stub_image()).unwrap()
}

fn bench(change: impl FnOnce(&mut Device)) -> Bench {
    Bench::new(|device| {
        device.own_stub = Some(INFO);
        change(device);
    })
}

fn with_stub<T>(bench: &Bench, operation: impl FnOnce(&mut Session<'_>) -> T) -> (T, Vec<Event>) {
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    session.start_stub(&stub(), &BAUD_LADDER).unwrap();
    let result = operation(&mut session);
    drop(session);
    (result, events)
}

fn program(bench: &Bench, regions: &[Region]) -> Result<Vec<Programmed>, ProgramError> {
    with_stub(bench, |session| session.program(regions, &EraseAllowed::everything())).0
}

fn image() -> Region {
    region("image", 0, pattern(0x4_5678), Order::FirstSectorLast)
}

fn holds(bench: &Bench, region: &Region) -> bool {
    let start = region.offset as usize;
    bench.device().flash[start..start + region.bytes.len()] == region.bytes
}

fn requests(bench: &Bench, start: &str) -> Vec<String> {
    bench.device().requests.iter().filter(|line| line.starts_with(start)).cloned().collect()
}

#[test]
fn an_image_of_a_stub_is_taken_whole_and_undamaged_or_not_at_all() {
    let image = stub_image();
    assert_eq!(stub().length(), 16);
    for (position, cut) in (0..image.len()).map(|position| (position, &image[..position])) {
        assert!(Stub::from_image(cut).is_err(), "cut at {position}");
    }
    let mut damaged = image.clone();
    damaged[17] ^= 1;
    assert_eq!(Stub::from_image(&damaged), Err(StubFileError::Image));
}

#[test]
fn the_own_stub_is_known_by_its_answer_and_its_rate_is_probed_with_an_echo() {
    let bench = bench(|_| {});
    let (info, _) = with_stub(&bench, |session| (session.stub_info(), session.baud()));
    assert_eq!(info, (Some(INFO), 460_800));
    let device = bench.device();
    assert_eq!(device.requests[1..4], ["READ_REG", "WRITE_REG", "READ_REG"], "the boot ROM's own rate");
    assert_eq!(device.requests.last_chunk::<3>().unwrap(), &["MEM_END", "STUB_INFO", "ECHO"]);
}

#[test]
fn where_the_boot_rom_stays_at_its_rate_the_stub_goes_to_the_fast_one() {
    let bench = bench(|device| device.rom_baud_ceiling = 115_200);
    let ((info, baud), events) = with_stub(&bench, |session| (session.stub_info(), session.baud()));
    assert_eq!((info, baud), (Some(INFO), 460_800));
    let asked = bench.device().requests.last_chunk::<4>().unwrap().clone();
    assert_eq!(asked, ["MEM_END", "STUB_INFO", "CHANGE_BAUDRATE 460800 115200", "ECHO"]);
    assert!(!events.iter().any(|event| matches!(event, Event::Warning(_))), "the rate itself works");
}

#[test]
fn a_fast_rate_is_left_for_the_ladder_when_the_probe_fails() {
    let bench = bench(|device| device.baud_ceiling = 1_000_000);
    let mut warnings = Vec::new();
    let mut keep = |event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning);
        }
    };
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    let ladder: Vec<u32> = FAST_RATES.into_iter().chain(BAUD_LADDER).collect();
    let started = session.start_stub(&stub(), &ladder).unwrap();
    assert_eq!((started, session.loader()), (StubStart::Running { baud: 921_600 }, Loader::Stub));
    drop(session);
    assert_eq!(warnings, [Warning::BaudFailed { baud: 1_500_000 }]);
}

#[test]
fn a_running_stub_is_found_again_and_changes_its_rate_without_another_upload() {
    let bench = bench(|device| {
        device.mode = Mode::Stub;
        device.has_lines = false;
    });
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    assert_eq!(session.stub_info(), Some(INFO));
    session.set_stub_baud(230_400).unwrap();
    session.set_stub_baud(460_800).unwrap();
    session.set_stub_baud(115_200).unwrap();
    assert!(requests(&bench, "MEM_").is_empty());
}

#[test]
fn everything_is_identified_in_two_volleys() {
    let bench = bench(|_| {});
    let (info, _) = with_stub(&bench, |session| {
        bench.device().requests.clear();
        session.identify().unwrap()
    });
    assert_eq!((info.mac, info.flash.capacity), ([0x5C, 0xCF, 0x7F, 0, 0, 1], Some(0x40_0000)));
    assert_eq!(bench.device().requests.len(), 6 + 3 + 4);
}

#[test]
fn a_first_flash_fills_the_window_and_ends_with_the_first_sector() {
    let bench = bench(|device| device.flash.fill(0xFF));
    let image = image();
    let prepared = Prepared::new(&image);
    let (results, events) = with_stub(&bench, |session| {
        session.offer(prepared);
        session.program(std::slice::from_ref(&image), &EraseAllowed::everything())
    });
    let results = results.unwrap();
    assert_eq!(results[0].verified, Verified::Matches);
    assert_eq!((results[0].bytes, results[0].written), (0x4_5678, 0x4_5678));
    assert!(holds(&bench, &image));
    assert_eq!(
        requests(&bench, "FLASH_DEFL_BEGIN"),
        [
            "FLASH_DEFL_BEGIN 0x1f000 at 0x1000",
            "FLASH_DEFL_BEGIN 0x20000 at 0x20000",
            "FLASH_DEFL_BEGIN 0x6000 at 0x40000",
            "FLASH_DEFL_BEGIN 0x1000 at 0x0",
        ]
    );
    assert!(requests(&bench, "ERASE_REGION").is_empty(), "a blank first sector is not erased");
    let used = bench.device().window_used;
    assert!(used <= INFO.receive_window && used > INFO.receive_window * 3 / 4, "{used}");
    let progress: Vec<u32> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress(progress) if progress.stage == crate::Stage::Write => Some(progress.done),
            _ => None,
        })
        .collect();
    assert!(progress.is_sorted() && progress.last() == Some(&0x4_5678), "{progress:?}");
}

#[test]
fn the_same_again_writes_nothing_and_is_verified_all_the_same() {
    let bench = bench(|_| {});
    let slot = region("config-a", 0x7_0000, pattern(700), Order::Ascending);
    program(&bench, &[image(), slot.clone()]).unwrap();
    bench.device().requests.clear();
    let results = program(&bench, &[image(), slot]).unwrap();
    assert!(results.iter().all(|result| result.verified == Verified::Matches && result.written == 0));
    let writes = requests(&bench, "FLASH_").len() + requests(&bench, "ERASE").len();
    assert_eq!(writes, 0);
}

#[test]
fn changed_sectors_are_written_in_runs_and_the_first_sector_still_goes_last() {
    let bench = bench(|_| {});
    let old = image();
    program(&bench, std::slice::from_ref(&old)).unwrap();
    bench.device().requests.clear();
    let mut new = old;
    for sector in [3, 4, 9, 20] {
        new.bytes[sector * SECTOR + 17] ^= 1;
    }
    let results = program(&bench, std::slice::from_ref(&new)).unwrap();
    assert_eq!((results[0].written, results[0].verified.clone()), (4 * 4096, Verified::Matches));
    assert!(holds(&bench, &new));
    let writes: Vec<_> =
        bench.device().requests.iter().filter(|line| line.contains(" at ")).cloned().collect();
    assert_eq!(
        writes,
        [
            "ERASE_REGION 0x1000 at 0x0",
            "FLASH_DEFL_BEGIN 0x2000 at 0x3000",
            "FLASH_DEFL_BEGIN 0x1000 at 0x9000",
            "FLASH_DEFL_BEGIN 0x1000 at 0x14000",
            "FLASH_DEFL_BEGIN 0x1000 at 0x0",
        ]
    );
}

#[test]
fn nothing_outside_the_regions_sectors_is_touched() {
    let bench = bench(|_| {});
    let slot = region("config-a", 0x1_0000, pattern(500), Order::Ascending);
    program(&bench, std::slice::from_ref(&slot)).unwrap();
    let device = bench.device();
    assert!(device.flash[0x1_0000 + 500..0x1_1000].iter().all(|&byte| byte == 0xFF));
    assert!(device.flash[..0x1_0000].iter().chain(&device.flash[0x1_1000..]).all(|&byte| byte == 0x5A));
}

#[test]
fn a_power_cut_at_any_request_never_leaves_a_startable_half_image() {
    let mut image = region("image", 0, pattern(9 * 4096 + 100), Order::FirstSectorLast);
    image.bytes[0] = 0xE9;
    let mut old = image.clone();
    for byte in old.bytes[1..].iter_mut().step_by(2 * SECTOR) {
        *byte ^= 0x55;
    }
    let config = region("config-a", 0x1_8000, pattern(300), Order::Ascending);
    for cut in 1.. {
        let bench = bench(|device| {
            device.flash[..old.bytes.len()].copy_from_slice(&old.bytes);
            device.fault = Box::new(move |index, _| if index == cut { Fault::Unplug } else { Fault::None });
        });
        let result = std::panic::catch_unwind(|| program(&bench, &[image.clone(), config.clone()]));
        let starts = bench.device().flash[0] == 0xE9;
        assert!(!starts || holds(&bench, &image) || holds(&bench, &old), "cut at request {cut}");
        if matches!(result, Ok(Ok(_))) {
            assert!(starts && holds(&bench, &image) && holds(&bench, &config));
            assert!(cut > 30, "cuts were tried at {cut} places");
            break;
        }
    }
}

#[test]
fn one_fault_at_any_request_is_survived() {
    let image = region("image", 0, pattern(3 * 4096 + 100), Order::FirstSectorLast);
    let slot = region("config-a", 0x1_8000, pattern(300), Order::Ascending);
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::Refuse(Refusal::StubChecksum)] {
        for place in 9.. {
            let bench = bench(|device| {
                device.fault = Box::new(move |index, _| if index == place { fault } else { Fault::None });
            });
            let results = program(&bench, &[slot.clone(), image.clone()]).unwrap();
            assert!(
                results.iter().all(|result| result.verified == Verified::Matches),
                "{fault:?} at request {place}"
            );
            assert!(holds(&bench, &image) && holds(&bench, &slot), "{fault:?} at request {place}");
            if bench.device().requests.len() <= place {
                assert!(place > 25, "faults were tried at {place} places");
                break;
            }
        }
    }
}

#[test]
fn a_lost_answer_is_noticed_at_the_next_one_and_not_after_seconds() {
    let mut lost = false;
    let bench = bench(move |device| {
        device.fault = Box::new(move |_, command| {
            let is_it = matches!(command, Command::FlashDeflateData { sequence: 5, .. });
            if is_it && !std::mem::replace(&mut lost, true) { Fault::LoseReply } else { Fault::None }
        });
    });
    let store = region("store", 0x2000, pattern(0x6000), Order::Ascending);
    let started = bench.device().now;
    program(&bench, &[store]).unwrap();
    let took = bench.device().now - started;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn what_goes_wrong_twice_is_tried_at_a_slower_rate() {
    let bench = bench(|_| {});
    let mut left = 2;
    bench.device().fault = Box::new(move |_, command| {
        if left > 0 && matches!(command, Command::FlashDeflateData { sequence: 1, .. }) {
            left -= 1;
            return Fault::Refuse(Refusal::StubInflate);
        }
        Fault::None
    });
    let (results, events) = with_stub(&bench, |session| {
        let results = session.program(&[image()], &EraseAllowed::everything()).unwrap();
        assert_eq!(session.baud(), 230_400);
        results
    });
    assert_eq!(results[0].verified, Verified::Matches);
    assert!(events.contains(&Event::Warning(Warning::BaudFailed { baud: 460_800 })));
}

#[test]
fn a_flash_that_does_not_take_it_is_a_difference_with_its_sector() {
    let bench = bench(|device| {
        device.fault = Box::new(|_, command| match command {
            Command::FlashDeflateData { sequence: 0, .. } => Fault::DamageWrite,
            _ => Fault::None,
        });
    });
    let store = region("store", 0x4_0000, pattern(0x5123), Order::Ascending);
    let results = program(&bench, &[store]).unwrap();
    let Verified::Differs(difference) = &results[0].verified else { panic!("{results:?}") };
    assert_eq!(difference.offset, 0x4_0000);
}

#[test]
fn a_region_that_ends_within_a_sector_is_compared_up_to_its_end_and_no_further() {
    let bench = bench(|_| {});
    let store = region("store", 0x2_0000, pattern(0x2345), Order::Ascending);
    bench.device().flash[0x2_0000..][..0x2345].copy_from_slice(&store.bytes);
    let (found, _) = with_stub(&bench, |session| session.verify(&store).unwrap());
    assert_eq!(found, Verified::Matches, "what is behind it does not count");
    bench.device().flash[0x2_2340] ^= 1;
    let (found, _) = with_stub(&bench, |session| session.verify(&store).unwrap());
    let Verified::Differs(difference) = found else { panic!("{found:?}") };
    assert_eq!(difference.offset, 0x2_2000);
}

#[test]
fn nothing_of_a_secret_region_shows_up_in_any_event() {
    let bench = bench(|_| {});
    let secret = Region {
        secrecy: Secrecy::Secret,
        ..region("config-a", 0x1_0000, vec![0x41; 700], Order::Ascending)
    };
    let (results, events) = with_stub(&bench, |session| {
        session.program(std::slice::from_ref(&secret), &EraseAllowed::everything())
    });
    assert_eq!(results.unwrap()[0].verified, Verified::Matches);
    let stream = crate::deflate::compress(&secret.sector_content(0..700));
    let sector: [u8; 16] = Md5::digest(secret.sector_content(0..700)).into();
    for event in events {
        let Event::Trace(trace) = &event else { continue };
        let bytes = match &trace.entry {
            crate::event::TraceEntry::Sent { payload, .. }
            | crate::event::TraceEntry::Received { payload, .. }
            | crate::event::TraceEntry::Frame(payload) => payload,
            _ => continue,
        };
        let crate::event::Payload::Bytes(bytes) = bytes else { continue };
        let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!contains(&stream[..8]) && !contains(&sector) && !contains(&[0x41; 8]), "{trace}");
    }
}

#[test]
fn where_no_line_reaches_the_chip_the_stub_starts_the_firmware() {
    let bench = bench(|device| device.mode = Mode::Rom);
    let mut events = ignore;
    let options = ConnectOptions { wiring: Wiring::Manual, ..ConnectOptions::default() };
    let mut session = Session::connect(bench.port(), options, &mut events).unwrap();
    session.start_stub(&stub(), &BAUD_LADDER).unwrap();
    let mut console = session.into_console();
    assert_eq!(console.reset(BootLog::Skip), Ok(Reset::ByStub));
    assert_eq!(bench.device().requests.last().map(String::as_str), Some("RUN_USER_CODE"));
    assert_eq!(console.reset(BootLog::Skip), Ok(Reset::ByUser), "it is not there any more");
}
