//! Finding the loader, and saying why it cannot be found.

use super::*;
use crate::{
    BootMode, Cancel, ConnectError, ConnectOptions, Diagnosis, Loader, Session, Stage, Warning, Wiring,
};

fn connect(bench: &Bench, options: ConnectOptions) -> (Result<Loader, ConnectError>, Vec<Event>) {
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    let result = Session::connect(bench.port(), options, &mut keep).map(|session| session.loader());
    (result, events)
}

fn diagnose(after: impl FnOnce(&mut Device)) -> Diagnosis {
    let bench = Bench::new(|device| {
        device.after_reset = Mode::Dead;
        after(device);
    });
    let error = connect(&bench, ConnectOptions::default()).0.unwrap_err();
    let ConnectError::NoReply { port, attempts, diagnosis } = error else { panic!("{error}") };
    assert_eq!((port.as_str(), attempts), ("bench", 7));
    assert_eq!(bench.device().host_baud, 115_200, "the rate is put back");
    diagnosis
}

const fn lines(dtr: u8, rts: u8) -> ControlLines {
    ControlLines { dtr: dtr == 1, rts: rts == 1 }
}

#[test]
fn the_first_reset_pulls_reset_for_100_ms_and_lets_go_of_gpio0_50_ms_later() {
    let bench = Bench::new(|_| {});
    assert_eq!(connect(&bench, ConnectOptions::default()).0, Ok(Loader::Rom));
    let at = Duration::from_millis;
    assert_eq!(
        bench.device().lines,
        [
            (at(0), lines(0, 0)),
            (at(0), lines(1, 1)),
            (at(0), lines(0, 1)),
            (at(100), lines(1, 0)),
            (at(150), lines(0, 0)),
        ]
    );
    assert_eq!(bench.device().requests, ["SYNC"]);
    assert!(bench.device().output.is_empty(), "surplus replies are read");
    assert!(bench.device().now < at(200));
}

#[test]
fn a_dead_device_gets_seven_resets_with_all_four_strategies_and_five_syncs_each() {
    let bench = Bench::new(|device| device.after_reset = Mode::Dead);
    let (result, events) = connect(&bench, ConnectOptions::default());
    assert!(result.is_err());
    let resets = events.iter().filter(|event| **event == Event::Stage(Stage::Reset)).count();
    assert_eq!(resets, 7);
    let syncs = events.iter().filter(|event| match event {
        Event::Trace(trace) => trace.to_string().contains("> SYNC"),
        _ => false,
    });
    assert_eq!(syncs.count(), 35);
    let device = bench.device();
    let starts: Vec<_> = device
        .lines
        .windows(2)
        .filter(|pair| pair[0].1 == lines(0, 1))
        .map(|pair| pair[1].0 - pair[0].0)
        .collect();
    assert_eq!(starts, [Duration::from_millis(100); 8], "seven attempts and the diagnosis");
    let held: Vec<_> = device
        .lines
        .windows(2)
        .filter(|pair| pair[0].1 == lines(1, 0))
        .map(|pair| (pair[1].0 - pair[0].0).as_millis())
        .collect();
    assert_eq!(held, [50, 550, 50, 550, 50, 550, 50, 50]);
}

#[test]
fn a_device_that_starts_its_firmware_is_told_from_one_that_stays_silent() {
    let log = b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\nload 0x40100000, len 1\r\n\x80\xff";
    let diagnosis = diagnose(|device| {
        device.boot_log.insert(74_880, log.to_vec());
    });
    let Diagnosis::BootedFromFlash { boot_mode, log } = &diagnosis else { panic!("{diagnosis}") };
    assert_eq!(*boot_mode, BootMode::FLASH);
    assert!(log.starts_with("ets Jan  8 2013") && log.ends_with("len 1"), "{log:?}");
    assert_eq!(diagnosis.to_string(), "boot log shows boot mode 3 (running from flash)");
    assert_eq!(diagnose(|_| {}), Diagnosis::Silence);
}

#[test]
fn other_boot_modes_noise_and_deaf_loaders_have_names() {
    let with_log = |baud: u32, log: &str| {
        diagnose(|device| {
            device.boot_log.insert(baud, log.as_bytes().to_vec());
            device.boot_log.entry(74_880).or_insert(vec![0x80, 0xFE, b'x']);
        })
    };
    let sdio = with_log(74_880, "rst cause:1, boot mode:(7,7)\r\n");
    assert!(matches!(sdio, Diagnosis::OtherBootMode { boot_mode, .. } if boot_mode.is_sdio()));
    let deaf = with_log(74_880, "rst cause:1, boot mode:(1,7)\r\n");
    assert!(matches!(deaf, Diagnosis::LoaderDoesNotHear { .. }));
    let forty_megahertz = with_log(115_200, "rst cause:1, boot mode:(3,7)\r\n");
    assert!(matches!(forty_megahertz, Diagnosis::BootedFromFlash { .. }));
    assert_eq!(with_log(9600, ""), Diagnosis::Noise { bytes: 3, log: "x".to_owned() });
    assert_eq!(diagnose(|device| device.refused_bauds.push(74_880)), Diagnosis::CannotListen);
}

#[test]
fn a_firmware_that_goes_on_talking_slowly_does_not_hold_the_diagnosis_up() {
    let bench = Bench::new(|device| {
        device.after_reset = Mode::Dead;
        device.chatter = Some(Duration::from_millis(100));
    });
    let options = ConnectOptions { attempts: 1, ..ConnectOptions::default() };
    let error = connect(&bench, options).0.unwrap_err();
    assert!(matches!(error, ConnectError::NoReply { diagnosis: Diagnosis::Noise { .. }, .. }), "{error}");
    let taken = bench.device().now;
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[test]
fn a_port_without_control_lines_is_polled_until_the_user_has_reset_the_device() {
    let bench = Bench::new(|device| {
        device.has_lines = false;
        device.user_resets_at = Some(Duration::from_secs(9));
    });
    let options = ConnectOptions { patience: Duration::from_secs(60), ..ConnectOptions::default() };
    let (result, events) = connect(&bench, options);
    assert_eq!(result, Ok(Loader::Rom));
    assert!(events.contains(&Event::Warning(Warning::NoControlLines)));
    let waits = events.iter().filter(|event| matches!(event, Event::WaitingForDownloadMode { .. }));
    assert!((8..=11).contains(&waits.count()), "about once a second");
}

#[test]
fn manual_wiring_never_touches_the_lines_and_gives_up_when_patience_ends() {
    let bench = Bench::new(|_| {});
    let patience = Duration::from_secs(5);
    let options = ConnectOptions { wiring: Wiring::Manual, patience, ..ConnectOptions::default() };
    let error = connect(&bench, options).0.unwrap_err();
    assert!(matches!(error, ConnectError::NotInDownloadMode { waited, .. } if waited >= patience));
    assert!(bench.device().lines.is_empty());
}

#[test]
fn patience_goes_on_after_the_diagnosis_was_told() {
    let bench = Bench::new(|device| {
        device.after_reset = Mode::Dead;
        device.user_resets_at = Some(Duration::from_secs(30));
    });
    let options = ConnectOptions { patience: Duration::from_secs(60), ..ConnectOptions::default() };
    let (result, events) = connect(&bench, options);
    assert_eq!(result, Ok(Loader::Rom));
    assert!(events.contains(&Event::Diagnosed(Diagnosis::Silence)));
}

#[test]
fn inverted_wiring_pulls_the_other_way() {
    let bench = Bench::new(|_| {});
    let options = ConnectOptions { wiring: Wiring::Inverted, attempts: 1, ..ConnectOptions::default() };
    let _ = connect(&bench, options);
    let sequence: Vec<_> = bench.device().lines.iter().take(3).map(|(_, lines)| *lines).collect();
    assert_eq!(sequence, [lines(1, 0), lines(0, 1), lines(1, 1)]);
}

#[test]
fn a_running_stub_is_recognised_by_what_it_does_not_echo() {
    let bench = Bench::new(|device| device.after_reset = Mode::Stub);
    assert_eq!(connect(&bench, ConnectOptions::default()).0, Ok(Loader::Stub));
}

#[test]
fn cancelling_stops_the_wait_and_an_unplugged_port_ends_it() {
    let cancel = Cancel::default();
    cancel.cancel();
    let bench = Bench::new(|_| {});
    let options = ConnectOptions { cancel, ..ConnectOptions::default() };
    assert_eq!(connect(&bench, options).0, Err(ConnectError::Cancelled));
    assert!(bench.device().requests.is_empty());

    let bench = Bench::new(|device| device.unplugged = true);
    let result = connect(&bench, ConnectOptions::default()).0;
    assert!(matches!(result, Err(ConnectError::Transport(TransportError::Gone { .. }))));
}

#[test]
fn a_device_is_identified_by_register_reads_alone() {
    let bench = Bench::new(|_| {});
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    let info = session.identify().unwrap();
    assert_eq!(info.mac, [0x5C, 0xCF, 0x7F, 0, 0, 1]);
    assert_eq!((info.crystal_mhz, info.flash.capacity), (26, Some(4 << 20)));
    assert!(bench.device().flash.iter().all(|&byte| byte == 0x5A));
}

#[test]
fn another_chip_is_refused_with_what_its_register_holds() {
    let bench = Bench::new(|device| {
        device.registers.insert(CHIP_MAGIC_REGISTER, 0x00F0_1D83);
    });
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    let error = session.identify().unwrap_err();
    assert_eq!(error, crate::IdentifyError::WrongChip { expected: CHIP_MAGIC, found: 0x00F0_1D83 });
    let device = bench.device();
    assert!(device.requests[1..].iter().all(|request| request == "READ_REG"), "the flash is left alone");
}

#[test]
fn a_lost_reply_to_a_register_read_is_asked_for_again() {
    let bench = Bench::new(|device| {
        device.fault = Box::new(|index, _| if index == 3 { Fault::LoseReply } else { Fault::None });
    });
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    assert_eq!(session.identify().unwrap().mac, [0x5C, 0xCF, 0x7F, 0, 0, 1]);
}
