//! Uploading a stub, finding its fastest rate, writing and comparing with it.

use super::*;
use crate::{
    BAUD_LADDER, ConnectOptions, Content, EraseAllowed, Loader, ProgramError, Session, Stub, StubFileError,
    StubStart, Verified, Warning, Wiring,
};

const JSON: &str = r#"{"entry": 1074843652, "text": "AAECAwQF", "text_start": 1074843648,
    "data": "Bwg=", "data_start": 1073720492, "bss_start": 1073643776, "comment": "ignored"}"#;

fn stub() -> Stub {
    Stub::from_esptool_json(JSON).unwrap()
}

fn start(bench: &Bench, wiring: Wiring) -> (StubStart, Loader, u32, Vec<Warning>) {
    let mut warnings = Vec::new();
    let mut keep = |event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning);
        }
    };
    let options = ConnectOptions { wiring, ..ConnectOptions::default() };
    let mut session = Session::connect(bench.port(), options, &mut keep).unwrap();
    let started = session.start_stub(&stub(), &BAUD_LADDER).unwrap();
    let (loader, baud) = (session.loader(), session.baud());
    drop(session);
    (started, loader, baud, warnings)
}

#[test]
fn a_stub_file_gives_segments_of_whole_words() {
    assert_eq!(stub().length(), 8 + 4);
    let refused = |json: &str| Stub::from_esptool_json(json).unwrap_err();
    assert!(matches!(refused("{"), StubFileError::Json(_)));
    assert!(matches!(refused(r#"{"entry": 1, "text": "AA=="}"#), StubFileError::Json(_)));
    let text = |text: &str| refused(&format!(r#"{{"entry": 1, "text": "{text}", "text_start": 0}}"#));
    assert_eq!(text("!"), StubFileError::Base64("text"));
    assert_eq!(text(""), StubFileError::Length { field: "text", length: 0 });
}

#[test]
fn the_stub_goes_to_the_fastest_rate_in_one_change() {
    let bench = Bench::new(|_| {});
    let (started, loader, baud, warnings) = start(&bench, Wiring::Usual);
    assert_eq!(started, StubStart::Running { baud: 460_800 });
    assert_eq!((loader, baud), (Loader::Stub, 460_800));
    assert!(warnings.is_empty());
    let uploads = [
        "SYNC",
        "MEM_BEGIN",
        "MEM_DATA",
        "MEM_BEGIN",
        "MEM_DATA",
        "MEM_END",
        "CHANGE_BAUDRATE 460800 115200",
    ];
    assert_eq!(bench.device().requests[..7], uploads);
}

#[test]
fn a_rate_that_does_not_work_costs_a_reset_and_an_upload_and_the_next_is_tried() {
    let bench = Bench::new(|device| device.baud_ceiling = 230_400);
    let (started, _, baud, warnings) = start(&bench, Wiring::Usual);
    assert_eq!((started, baud), (StubStart::Running { baud: 230_400 }, 230_400));
    assert_eq!(warnings, [Warning::BaudFailed { baud: 460_800 }]);
    let changes: Vec<_> =
        bench.device().requests.iter().filter(|line| line.starts_with("CHANGE")).cloned().collect();
    assert_eq!(changes, ["CHANGE_BAUDRATE 460800 115200", "CHANGE_BAUDRATE 230400 115200"]);

    let bench = Bench::new(|device| device.baud_ceiling = 115_200);
    let (started, loader, _, warnings) = start(&bench, Wiring::Usual);
    assert_eq!((started, loader), (StubStart::Running { baud: 115_200 }, Loader::Stub));
    assert_eq!(warnings.len(), 2);

    let bench = Bench::new(|device| device.refused_bauds.push(460_800));
    assert_eq!(start(&bench, Wiring::Usual).0, StubStart::Running { baud: 230_400 });
}

#[test]
fn a_stub_that_does_not_greet_leaves_the_boot_rom_in_charge() {
    let bench = Bench::new(|device| device.stub_starts = false);
    let (started, loader, baud, warnings) = start(&bench, Wiring::Usual);
    assert!(matches!(started, StubStart::RomOnly { .. }));
    assert_eq!((loader, baud), (Loader::Rom, 115_200));
    assert!(matches!(warnings[..], [Warning::StubDidNotStart { .. }]));
    let uploads = bench.device().requests.iter().filter(|line| *line == "MEM_END").count();
    assert_eq!(uploads, 2);
}

#[test]
fn where_the_user_resets_the_rate_is_left_alone() {
    let bench = Bench::new(|device| device.mode = Mode::Rom);
    let (started, ..) = start(&bench, Wiring::Manual);
    assert_eq!(started, StubStart::Running { baud: 115_200 });
}

fn with_stub<T>(bench: &Bench, operation: impl FnOnce(&mut Session<'_>) -> T) -> T {
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    session.start_stub(&stub(), &BAUD_LADDER).unwrap();
    operation(&mut session)
}

fn image() -> Region {
    region("image", 0, pattern(0x4_5678), Order::FirstSectorLast)
}

#[test]
fn an_image_is_written_compressed_first_sector_last_and_compared_by_digest() {
    let bench = Bench::new(|_| {});
    let results =
        with_stub(&bench, |session| session.program(&[image()], &EraseAllowed::everything())).unwrap();
    assert_eq!(results[0].verified, Verified::Matches);
    let device = bench.device();
    assert_eq!(device.flash[..0x4_5678], image().bytes);
    assert!(device.flash[0x4_6000..].iter().all(|&byte| byte == 0x5A));
    let begins: Vec<_> = device.requests.iter().filter(|line| line.contains(" at ")).collect();
    assert_eq!(
        begins,
        [
            "ERASE_REGION 0x1000 at 0x0",
            "FLASH_DEFL_BEGIN 0x3f000 at 0x1000",
            "FLASH_DEFL_BEGIN 0x5678 at 0x40000",
            "FLASH_DEFL_BEGIN 0x1000 at 0x0",
        ]
    );
    assert!(!device.requests.iter().any(|line| line.starts_with("FLASH_BEGIN")));
}

#[test]
fn a_write_error_that_comes_with_the_end_command_repeats_the_span() {
    let mut failed = false;
    let bench = Bench::new(move |device| {
        device.fault = Box::new(move |_, command| {
            if matches!(command, Command::FlashDeflateEnd { .. }) && !std::mem::replace(&mut failed, true) {
                return Fault::Refuse(Refusal::StubSpiOperation);
            }
            Fault::None
        });
    });
    let store = region("store", 0x2000, pattern(0x5000), Order::Ascending);
    let results =
        with_stub(&bench, |session| session.program(&[store], &EraseAllowed::everything())).unwrap();
    assert_eq!(results[0].verified, Verified::Matches);
    let begins =
        bench.device().requests.iter().filter(|line| *line == "FLASH_DEFL_BEGIN 0x5000 at 0x2000").count();
    assert_eq!(begins, 2);
}

#[test]
fn a_span_that_never_goes_through_is_tried_three_times_and_named() {
    let bench = Bench::new(|device| {
        device.fault = Box::new(|_, command| match command {
            Command::FlashDeflateData { .. } => Fault::Refuse(Refusal::StubChecksum),
            _ => Fault::None,
        });
    });
    let store = region("store", 0x2000, pattern(0x5000), Order::Ascending);
    let error =
        with_stub(&bench, |session| session.program(&[store], &EraseAllowed::everything())).unwrap_err();
    assert!(matches!(error, ProgramError::Write { offset: 0x2000, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot write region `store` at 0x2000: FLASH_DEFL_DATA was refused: stub: checksum of the block does not fit"
    );
    let begins = bench.device().requests.iter().filter(|line| line.starts_with("FLASH_DEFL_BEGIN")).count();
    assert_eq!(begins, 3);
}

#[test]
fn one_lost_frame_anywhere_is_survived() {
    for place in 12..60 {
        let bench = Bench::new(|device| {
            device.fault =
                Box::new(move |index, _| if index == place { Fault::LoseReply } else { Fault::None });
        });
        let results =
            with_stub(&bench, |session| session.program(&[image()], &EraseAllowed::everything())).unwrap();
        assert_eq!(results[0].verified, Verified::Matches, "request {place}");
    }
}

#[test]
fn damage_is_found_by_digest_written_again_and_else_located_to_the_sector() {
    let damage = |times: u32| {
        let mut left = times;
        Bench::new(move |device| {
            device.fault = Box::new(move |_, command| {
                if matches!(command, Command::FlashDeflateData { sequence: 0, .. }) && left > 0 {
                    left -= 1;
                    return Fault::DamageWrite;
                }
                Fault::None
            });
        })
    };
    let run = |bench: &Bench| {
        let region = region("store", 0x4_0000, pattern(0x5123), Order::Ascending);
        with_stub(bench, |session| session.program(&[region], &EraseAllowed::everything())).unwrap()
    };
    assert_eq!(run(&damage(1))[0].verified, Verified::Matches);
    let results = run(&damage(2));
    let Verified::Differs(difference) = &results[0].verified else { panic!("{results:?}") };
    assert_eq!(difference.offset, 0x4_0000);
    assert!(matches!(difference.expected, Content::Digest(_)));
    assert_ne!(difference.expected, difference.found);
}

#[test]
fn a_difference_is_located_wherever_it_is() {
    let bench = Bench::new(|_| {});
    for offset in [0_u32, 0x0FFF, 0x1000, 0x7FFF, 0xABCD, 0x1_0010] {
        let found = with_stub(&bench, |session| {
            let region = region("store", 0x2_0000, pattern(0x1_0011), Order::Ascending);
            session.program(std::slice::from_ref(&region), &EraseAllowed::everything()).unwrap();
            bench.device().flash[(0x2_0000 + offset) as usize] ^= 1;
            session.verify(&region).unwrap()
        });
        let Verified::Differs(difference) = found else { panic!("{offset:#x}") };
        assert_eq!(difference.offset, 0x2_0000 + offset / 4096 * 4096);
    }
}
