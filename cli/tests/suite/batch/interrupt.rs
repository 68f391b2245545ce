//! Ctrl-C at every stage: the journal stays whole, what is being written is finished, and the next run goes on.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
};

use super::{Plugged, Speed, batch, fleet, journal, json, mac_text};
use crate::common::{Home, in_parallel, interrupt};

/// Steps, each as the line that ends it says it with `-v`.
const STEPS: [&str; 8] = ["connect", "identify", "preflight", "flash", "configure", "boot", "join", "test"];

#[test]
fn ctrl_c_after_every_step_leaves_a_journal_from_which_the_next_run_goes_on() {
    in_parallel(STEPS.into_iter().zip(20_u8..), |(step, last)| {
        let home = Home::new();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let plugged = Plugged::at(any, last, Vec::new(), Speed::Slow);
        fleet(&home, "[[device]]\n");
        let arguments = ["batch", "fleet.toml", "-v", "--wait", "9", "--ports", &plugged.port()];
        let mut child = home.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        for line in stderr.lines() {
            let line = line.unwrap();
            if line.contains(&format!(": {step} ")) && !text.contains("Stopping") {
                interrupt(child.id());
            }
            text.push_str(&line);
            text.push('\n');
        }
        let code = child.wait().unwrap().code();
        // At the very end the device may be done before the signal arrives.
        let allowed: &[Option<i32>] =
            if ["join", "test"].contains(&step) { &[Some(130), Some(0)] } else { &[Some(130)] };
        assert!(allowed.contains(&code), "{step}: {code:?}\n{text}");
        let lines = journal(&home);
        assert!(lines.iter().all(|line| line["event"] != "failed"), "{step}: {lines:?}");
        if code == Some(130) {
            assert!(text.contains("run the same command again: it goes on from the journal"), "{text}");
        }
        let again = batch(&home, &[&plugged], &[]);
        assert_eq!(again.code, 0, "{step}: {}\n{text}", again.stderr);
        assert_eq!(json(&again)["rows"][0]["mac"], mac_text(last).as_str());
    });
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_the_next_run_finishes_the_device() {
    let home = Home::new();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let plugged = Plugged::at(any, 40, Vec::new(), Speed::Slow);
    fleet(&home, "[[device]]\n");
    let arguments = ["batch", "fleet.toml", "-v", "--wait", "9", "--ports", &plugged.port()];
    let mut child = home.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    for line in stderr.lines() {
        let line = line.unwrap();
        if line.contains(": preflight ") || line.contains("Stopping") {
            interrupt(child.id());
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let again = batch(&home, &[&plugged], &[]);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
}
