//! The journal when there is no room for it, somebody else has it, or its end is missing.

use std::{fs, process::Command};

use super::{Plugged, batch, fleet, journal, json, states};
use crate::common::{Home, Run};

#[test]
fn a_disk_that_is_full_from_the_beginning_lets_no_device_be_touched() {
    let home = Home::new();
    let plugged = Plugged::new(50, Vec::new());
    fleet(&home, "[[device]]\n");
    let run = batch(&home, &[&plugged], &["--journal", "/dev/full"]);
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!(run.verdict(), @r"
    exit 2
    error: cannot write to the journal: `/dev/full`
      caused by: No space left on device (os error 28)

    hint: make room on that disk, or name a place with room with --journal, and run the same command again: no device was begun without a line in it, and one that was finished without one is done again
    ");
    assert!(plugged.is_blank());
}

#[test]
fn a_disk_that_fills_up_ends_the_batch_and_what_is_done_stays_known() {
    let home = Home::new();
    let devices = [51, 52].map(|last| Plugged::new(last, Vec::new()));
    let [one, two] = &devices;
    fleet(&home, "[[device]]\ncount = 2\n");
    // 512 bytes for a file: the beginning, one device, and no second one.
    let program = assert_cmd::cargo::cargo_bin!("espbroker");
    let mut command = Command::new("dash");
    home.prepare(&mut command);
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(program);
    // The second one comes when the first is done: they do not share the last bytes.
    command.args(["batch", "fleet.toml", "--wait", "3", "--json", "--ports", &one.port()]);
    let first = Run::from(command.output().unwrap());
    let mut command = Command::new("dash");
    home.prepare(&mut command);
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(program);
    command.args(["batch", "fleet.toml", "--wait", "3", "--json", "--ports", &two.port()]);
    let second = Run::from(command.output().unwrap());
    let full: Vec<&Run> = [&first, &second].into_iter().filter(|run| run.code == 2).collect();
    assert!(!full.is_empty(), "{}{}", first.stderr, second.stderr);
    for run in full {
        assert!(run.stderr.contains("cannot write to the journal"), "{}", run.stderr);
        assert!(run.stderr.contains("make room on that disk"), "{}", run.stderr);
    }
    // Every line is whole.
    journal(&home);
    let run = batch(&home, &[one, two], &[]);
    assert_eq!((run.code, states(&json(&run))), (0, vec!["done", "done"]), "{}", run.stderr);
}

#[test]
fn a_journal_that_another_batch_uses_is_refused() {
    let home = Home::new();
    fleet(&home, "[[device]]\n");
    let other = fs::File::create(home.path("fleet.toml.journal")).unwrap();
    other.lock().unwrap();
    let run = home.run(&["batch", "fleet.toml", "--wait", "0", "--ports", "rfc2217://127.0.0.1:1"]);
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!(run.verdict(), @r"
    exit 2
    error: another batch is using the journal: `fleet.toml.journal`

    hint: wait for it, or let it do these devices too: it takes ports that appear later
    ");
}

#[test]
fn a_journal_whose_last_line_is_torn_goes_on_from_the_line_before() {
    let home = Home::new();
    let devices = [53, 54].map(|last| Plugged::new(last, Vec::new()));
    let [one, two] = &devices;
    fleet(&home, "[[device]]\ncount = 2\n");
    assert_eq!(batch(&home, &[one, two], &[]).code, 0);
    let path = home.path("fleet.toml.journal");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let run = batch(&home, &[one, two], &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("was begun and not finished; it is done again"), "{}", run.stderr);
    let mut events: Vec<String> =
        journal(&home).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    assert_eq!(events.iter().filter(|event| *event == "done").count(), 2);
}
