//! Ctrl-C: nothing is left behind that the next run does not finish.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use insta::assert_snapshot;

use crate::common::{Background, Home, PATIENCE, Run, SETUP, free_port, interrupt};

#[test]
fn ctrl_c_while_the_image_is_written_ends_with_130_and_the_next_run_finishes() {
    let home = Home::new();
    // In real time, so that there is a time to interrupt.
    let port = free_port().to_string();
    let arguments = ["setup", "--simulate", "--flash", "f.bin", "-q", "--mqtt-port", &port];
    let child = home.command(&arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !begun(&home) {
        assert!(Instant::now() < deadline, "nothing is written");
        thread::sleep(Duration::from_millis(20));
    }
    interrupt(child.id());
    let run = Run::from(child.wait_with_output().unwrap());
    let mut settled = home.settled();
    // How far the write has come depends on the load of this computer.
    settled.add_filter("at 0x[0-9a-f]+: cancelled", "at [OFFSET]: cancelled");
    let _guard = settled.bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 130
    error: cannot write region `firmware` at [OFFSET]: cancelled

    hint: run the same command again: it starts over from what is there
    ");
    assert_eq!(home.setup(&["--flash", "f.bin", "-q"]).code, 0);
}

/// Whether the image's second sector is there; the first one comes last.
fn begun(home: &Home) -> bool {
    std::fs::read(home.path("f.bin")).is_ok_and(|flash| flash.get(0x1000).is_some_and(|byte| *byte != 0xFF))
}

#[test]
fn a_held_device_serves_the_saved_password_until_ctrl_c_which_is_its_ordinary_end() {
    let home = Home::new();
    let port = free_port();
    let arguments = ["--hold", "--json", "--mqtt-port", &port.to_string()];
    let held = Background::start(home.command(&[&SETUP, arguments.as_slice()].concat()));
    let report: serde_json::Value = serde_json::from_str(&held.line).unwrap();
    assert_eq!(report["broker"]["port"], port);
    let password = std::fs::read_to_string(home.password("demo")).unwrap();
    assert_eq!(log_in(port, password.trim_end()), [0x20, 2, 0, 0]);
    assert_eq!(log_in(port, "wrong"), [0x20, 2, 0, 4]);
    held.interrupt();
    let run = held.finish();
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    assert!(run.stderr.ends_with("The simulated device keeps running; Ctrl-C ends it.\n"), "{}", run.stderr);
}

/// Sends CONNECT as user `demo`, and returns CONNACK (MQTT 3.1.1 §3.1, §3.2).
fn log_in(port: u16, password: &str) -> [u8; 4] {
    let mut connect = b"\0\x04MQTT\x04\xC2\0\x3C\0\x01t\0\x04demo\0".to_vec();
    connect.push(password.len() as u8);
    connect.extend(password.as_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&[0x10, connect.len() as u8], connect.as_slice()].concat()).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn ctrl_c_is_the_ordinary_end_of_simulate() {
    let home = Home::new();
    let device = Background::simulate(&home, "f.bin", &[]);
    assert!(device.line.starts_with("rfc2217://127.0.0.1:"), "{}", device.line);
    device.interrupt();
    assert_eq!(device.finish().code, 0);
}

#[test]
fn ctrl_c_is_the_ordinary_end_of_monitor() {
    let home = Home::new();
    home.device("f.bin");
    let device = Background::simulate(&home, "f.bin", &["--network", "home"]);
    let monitor = Background::start(home.command(&["monitor", "--port", &device.line]));
    monitor.interrupt();
    assert_eq!(monitor.finish().code, 0);
}
