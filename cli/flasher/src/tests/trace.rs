//! What a trace shows, and what it never shows.

use super::*;
use crate::{ConnectOptions, Content, EraseAllowed, Session, Stub, Verified};

const SECRET: &[u8] = b"Xq7#vJ9!zW4&kH2?mB8%yT6@fL3$gN5~";

/// Programs a public and a secret region, reads the secret one back and compares it after damage; gives all events.
fn events(stub: bool, secrecy: Secrecy) -> (Vec<Event>, Verified) {
    let bench = Bench::new(|_| {});
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    if stub {
        let stub = Stub::from_esptool_json(r#"{"entry": 1, "text": "AAAA", "text_start": 0}"#).unwrap();
        session.start_stub(&stub, &[]).unwrap();
    }
    let public = region("image", 0, vec![0xA7; 64], Order::Ascending);
    let secret = Region { secrecy, ..region("config-a", 0x2000, SECRET.repeat(4), Order::Ascending) };
    session.program(&[public, secret.clone()], &EraseAllowed::everything()).unwrap();
    assert_eq!(session.read("config-a", 0x2000..0x2080).unwrap(), secret.bytes);
    bench.device().flash[0x2003] ^= 0xFF;
    let verified = session.verify(&secret).unwrap();
    drop(session);
    (events, verified)
}

/// Whether any four bytes of the secret show up as text, hex or decimal numbers.
fn leaks(text: &str) -> bool {
    SECRET.windows(4).any(|window| {
        let hex: Vec<_> = window.iter().map(|byte| format!("{byte:02x}")).collect();
        let decimal: Vec<_> = window.iter().map(u8::to_string).collect();
        let plain = String::from_utf8_lossy(window);
        [plain.as_ref(), &hex.join(" "), &hex.join(""), &decimal.join(", ")]
            .iter()
            .any(|form| text.contains(*form))
    })
}

#[test]
fn a_secret_region_leaves_no_byte_in_any_event_or_difference() {
    for stub in [false, true] {
        let (events, verified) = events(stub, Secrecy::Secret);
        for event in &events {
            assert!(!leaks(&format!("{event:?}")), "{event:?}");
            if let Event::Trace(trace) = event {
                assert!(!leaks(&trace.to_string()), "{trace}");
            }
        }
        let Verified::Differs(difference) = verified else { panic!("{verified:?}") };
        assert_eq!((difference.expected, difference.found), (Content::Withheld, Content::Withheld));
        // A stub gets the public region compressed, so only the boot ROM's traffic shows it as it is.
        if !stub {
            let traced: Vec<_> = events.iter().filter(|event| matches!(event, Event::Trace(_))).collect();
            assert!(format!("{traced:?}").contains("167, 167"), "the public region is shown");
        }
    }
}

#[test]
fn without_the_mark_the_same_traffic_is_shown() {
    let (events, verified) = events(false, Secrecy::Public);
    assert!(events.iter().any(|event| leaks(&format!("{event:?}"))));
    let Verified::Differs(difference) = verified else { panic!("{verified:?}") };
    assert_eq!((difference.offset, difference.expected), (0x2003, Content::Byte(SECRET[3])));
}

#[test]
fn a_span_marked_secret_stays_so_for_reads_that_only_touch_it() {
    let bench = Bench::new(|device| device.flash[0x2000..0x2020].copy_from_slice(SECRET));
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    session.mark_secret(0x2000..0x3000);
    session.read("backup", 0x1FC0..0x2040).unwrap();
    drop(session);
    assert!(!events.iter().any(|event| leaks(&format!("{event:?}"))));
}

#[test]
fn a_trace_line_names_time_direction_command_and_first_bytes() {
    let bench = Bench::new(|_| {});
    let mut lines = Vec::new();
    let mut keep = |event| {
        if let Event::Trace(trace) = event {
            lines.push(trace.to_string());
        }
    };
    Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    assert_eq!(lines[0], "    0.000 = DTR 0 RTS 0");
    assert_eq!(lines[3], "    0.100 = DTR 1 RTS 0");
    assert!(lines[5].starts_with("    0.150 > SYNC 36 bytes 07 07 12 20 55"), "{}", lines[5]);
    assert_eq!(lines[6], "    0.151 < SYNC status 0x00 error 0x00 4 bytes 07 07 12 20");
}

#[test]
fn progress_of_a_region_never_goes_back_and_ends_at_its_length() {
    for stub in [false, true] {
        let bench = Bench::new(|_| {});
        let mut progress = Vec::new();
        let mut keep = |event| {
            if let Event::Progress(step) = event
                && step.stage == crate::Stage::Write
            {
                progress.push((step.done, step.total));
            }
        };
        let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
        if stub {
            let stub = Stub::from_esptool_json(r#"{"entry": 1, "text": "AAAA", "text_start": 0}"#).unwrap();
            session.start_stub(&stub, &[]).unwrap();
        }
        let image = region("image", 0, pattern(0x5123), Order::FirstSectorLast);
        session.program(&[image], &EraseAllowed::everything()).unwrap();
        drop(session);
        assert!(progress.is_sorted(), "{progress:?}");
        assert_eq!(progress.last(), Some(&(0x5123, 0x5123)));
    }
}

#[test]
fn stages_follow_the_work_and_nothing_is_announced_twice() {
    let bench = Bench::new(|_| {});
    let mut stages = Vec::new();
    let mut keep = |event| {
        if let Event::Stage(stage) = event {
            stages.push(stage);
        }
    };
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut keep).unwrap();
    session.identify().unwrap();
    let image = region("image", 0, pattern(0x1123), Order::FirstSectorLast);
    session.program(&[image], &EraseAllowed::everything()).unwrap();
    drop(session);
    use crate::Stage::{Erase, Identify, Reset, Sync, Verify, Write};
    assert_eq!(stages, [Reset, Sync, Identify, Erase, Write, Verify]);
}
