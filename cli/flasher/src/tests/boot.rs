//! From the loader into the firmware, and what is heard there.

use super::*;
use crate::{BootError, BootLog, BootVerdict, Cancel, ConnectOptions, Console, Reset, Session, Wiring};

fn console(bench: &Bench, operation: impl FnOnce(&mut Console<'_>)) {
    let mut events = ignore;
    let session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    bench.device().lines.clear();
    operation(&mut session.into_console());
}

#[test]
fn a_hard_reset_pulses_rts_alone_and_hands_out_lines() {
    let bench = Bench::new(|device| {
        let output = b"\x80\xFEgarbage\r\n@eb boot\r\n\xFFhalf\npart".to_vec();
        device.boot_log.insert(115_200, output);
    });
    console(&bench, |console| {
        bench.device().after_reset = Mode::Dead;
        assert_eq!(console.reset(BootLog::Skip), Ok(Reset::Done { log: None }));
        let mut line = || console.next_line(Duration::from_secs(1)).unwrap();
        assert_eq!(line().as_deref(), Some("\u{fffd}\u{fffd}garbage"));
        assert_eq!(line().as_deref(), Some("@eb boot"));
        assert_eq!(line().as_deref(), Some("\u{fffd}half"));
        assert_eq!(line(), None, "a line without an end is kept until it has one");
        bench.device().output.extend(b"ial\n");
        assert_eq!(line().as_deref(), Some("partial"));
    });
    let lines: Vec<_> = bench.device().lines.iter().map(|(_, lines)| (lines.dtr, lines.rts)).collect();
    assert_eq!(lines, [(false, true), (false, false)]);
}

#[test]
fn the_boot_log_is_read_at_its_own_rate_and_the_rate_put_back() {
    let bench = Bench::new(|device| {
        let log =
            b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\ncsum 0x5f\r\ncsum err\r\n".to_vec();
        device.boot_log.insert(74_880, log);
    });
    console(&bench, |console| {
        let Ok(Reset::Done { log: Some(log) }) = console.reset(BootLog::Read) else { panic!() };
        assert_eq!(log.verdict, BootVerdict::ChecksumError);
        assert!(log.text.ends_with("csum err"));
        assert_eq!(bench.device().host_baud, 115_200);
    });
    let bench = Bench::new(|device| device.refused_bauds.push(74_880));
    console(&bench, |console| {
        let Ok(Reset::Done { log: Some(log) }) = console.reset(BootLog::Read) else { panic!() };
        assert_eq!(log.verdict, BootVerdict::NoLog);
    });
}

#[test]
fn a_console_at_another_rate_keeps_it_over_a_reset() {
    let bench = Bench::new(|_| {});
    let mut events = ignore;
    let mut console = Console::new(bench.port(), Wiring::Usual, Cancel::default(), &mut events);
    console.listen_at(74_880).unwrap();
    console.reset(BootLog::Skip).unwrap();
    assert_eq!(console.into_transport().baud(), 74_880);
}

#[test]
fn without_control_lines_the_user_starts_the_firmware() {
    let bench = Bench::new(|device| device.has_lines = false);
    let mut events = ignore;
    let mut console = Console::new(bench.port(), Wiring::Usual, Cancel::default(), &mut events);
    assert_eq!(console.reset(BootLog::Read), Ok(Reset::ByUser));
    assert_eq!(bench.device().host_baud, 115_200);
}

#[test]
fn waiting_for_a_line_can_be_cancelled_and_a_flood_without_line_ends_comes_in_pieces() {
    let bench = Bench::new(|device| device.output.extend(vec![b'x'; 3000]));
    let cancel = Cancel::default();
    let mut events = ignore;
    let mut console = Console::new(bench.port(), Wiring::Usual, cancel.clone(), &mut events);
    let lengths: Vec<_> = std::iter::from_fn(|| console.next_line(Duration::from_secs(1)).unwrap())
        .map(|line| line.len())
        .collect();
    assert_eq!(lengths, [1024, 1024]);
    console.write(b"status\r\n").unwrap();
    cancel.cancel();
    assert_eq!(console.next_line(Duration::from_secs(1)), Err(BootError::Cancelled));
}
