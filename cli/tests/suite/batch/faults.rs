//! Devices that fail, vanish, are swapped or are somebody else's: each is accounted for, and none stops another.

use espbroker_virtual_device::Fault;

use super::{Plugged, Speed, batch, fleet, journal, json, mac_text, states};
use crate::common::Home;

#[test]
fn devices_that_fail_stop_no_other_and_are_done_by_the_next_run() {
    let home = Home::new();
    let devices = [
        Plugged::new(1, Vec::new()),
        Plugged::new(2, vec![Fault::PowerCutAfterFlashOperations(60)]),
        Plugged::new(3, vec![Fault::UnplugAfterBytes(60_000)]),
        Plugged::new(4, vec![Fault::WrongChip { magic: 0x00F0_1D83 }]),
        Plugged::new(5, Vec::new()),
    ];
    let [one, two, three, four, five] = &devices;
    fleet(&home, "[[device]]\ncount = 5\n");
    let run = batch(&home, &[one, two, three, four, five], &[]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let report = json(&run);
    assert_eq!((&report["done"], &report["failed"], &report["open"]), (&2.into(), &2.into(), &1.into()));
    let of = |last: u8| {
        let rows = report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["mac"] == mac_text(last).as_str()).unwrap().clone()
    };
    assert_eq!((&of(1)["state"], &of(5)["state"]), (&"done".into(), &"done".into()));
    assert!(of(2)["why"].as_str().unwrap().contains("cannot write region `firmware`"), "{}", of(2));
    assert!(of(3)["hint"].as_str().unwrap().len() > 10, "{}", of(3));
    assert_eq!(report["unanswered"].as_array().unwrap().len(), 1);
    assert!(
        run.stderr.contains("run the same command again: finished devices are left alone"),
        "{}",
        run.stderr
    );

    two.device.power_cycle();
    three.device.plug_in();
    let again = batch(&home, &[one, two, three, five], &[]);
    let report = json(&again);
    assert_eq!((again.code, &report["done"], &report["open"]), (1, &4.into(), &1.into()), "{}", again.stderr);
    let sixth = Plugged::new(6, Vec::new());
    assert_eq!(batch(&home, &[&sixth], &[]).code, 0);
}

#[test]
fn a_device_that_no_row_is_for_stays_as_it_is() {
    let home = Home::new();
    let stranger = Plugged::new(7, Vec::new());
    fleet(&home, &format!("[[device]]\nmac = \"{}\"\n", mac_text(1)));
    let run = batch(&home, &[&stranger], &[]);
    let report = json(&run);
    assert_eq!((run.code, states(&report)), (1, vec!["open"]));
    assert_eq!(report["refused"][0]["mac"], mac_text(7).as_str());
    assert!(stranger.is_blank());
}

#[test]
fn of_two_devices_with_one_mac_address_only_one_is_set_up() {
    let home = Home::new();
    let twins = [Plugged::new(8, Vec::new()), Plugged::new(8, Vec::new())];
    let [one, two] = &twins;
    fleet(&home, "[[device]]\ncount = 2\n");
    let run = batch(&home, &[one, two], &[]);
    let report = json(&run);
    assert_eq!((run.code, &report["done"], &report["open"]), (1, &1.into(), &1.into()), "{}", run.stderr);
    assert_ne!(one.is_blank(), two.is_blank());
}

#[test]
fn a_device_that_was_swapped_for_the_one_that_was_begun_is_noticed() {
    let home = Home::new();
    let first = Plugged::new(9, vec![Fault::PowerCutAfterFlashOperations(60)]);
    fleet(&home, "[[device]]\n");
    assert_eq!(batch(&home, &[&first], &[]).code, 1);
    let second = Plugged::new(10, Vec::new());
    let run = batch(&home, &[&second], &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let swapped = format!("{} was swapped for {}", mac_text(9), mac_text(10));
    assert!(run.stderr.contains(&swapped), "{}", run.stderr);
    assert!(
        journal(&home)
            .iter()
            .any(|line| line["event"] == "swapped" && line["before"] == mac_text(9).as_str())
    );
}

#[test]
fn devices_follow_each_other_on_a_port_as_they_are_connected() {
    let home = Home::new();
    fleet(&home, "[[device]]\ncount = 3\n");
    let first = Plugged::new(11, Vec::new());
    let (address, port) = (first.address(), first.port());
    let command = home.command(&["batch", "fleet.toml", "--wait", "20", "--json", "--ports", &port]);
    let run = std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            let mut command = command;
            command.output().unwrap()
        });
        let finished = |count: usize| {
            let deadline = std::time::Instant::now() + crate::common::PATIENCE;
            let text = || std::fs::read_to_string(home.path("fleet.toml.journal")).unwrap_or_default();
            while text().matches("\"event\":\"done\"").count() < count {
                assert!(std::time::Instant::now() < deadline, "{}", text());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        finished(1);
        drop(first);
        let second = Plugged::at(address, 12, Vec::new(), Speed::Instant);
        finished(2);
        drop(second);
        let third = Plugged::at(address, 13, Vec::new(), Speed::Instant);
        finished(3);
        let output = running.join().unwrap();
        drop(third);
        output
    });
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn a_device_with_another_firmware_is_replaced_only_with_yes() {
    let home = Home::new();
    let plugged = Plugged::new(14, Vec::new());
    fleet(&home, "[[device]]\nname = \"hall\"\n");
    assert_eq!(batch(&home, &[&plugged], &[]).code, 0);
    std::fs::remove_file(home.path("fleet.toml.journal")).unwrap();
    fleet(&home, "[[device]]\nname = \"attic\"\n");
    let run = batch(&home, &[&plugged], &[]);
    let report = json(&run);
    assert_eq!(run.code, 1);
    assert_eq!(report["rows"][0]["why"], "this would replace the settings of `hall`");
    assert_eq!(batch(&home, &[&plugged], &["--yes"]).code, 0);
}
