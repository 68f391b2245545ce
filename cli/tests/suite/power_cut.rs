//! Power cuts: whenever they come, the same command finishes the device, and an old config is never lost.
//!
//! The library's own tests cut at every operation of a small image; here the whole image is cut at a spread of
//! operations and the config at each, with the program that users run.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B},
    model::Config,
    slots::Slot,
};

use crate::{
    common::{Background, Home, Run, in_parallel},
    settings::{active, find, region},
};

/// The same every time, so that every run has the same operations; a fixed address needs no time for DHCP.
const SETTINGS: &str = r#"
name = "attic"

[wifi]
ssid = "home"

[wifi.ipv4]
address = "192.168.7.20/24"
gateway = "192.168.7.1"
"#;

/// No image has fewer operations, and a set-up that is not cut by so many is not cut.
const OPERATIONS: std::ops::Range<u64> = 800..16_384;

fn set_up(home: &Home, flash: &str, more: &[&str]) -> Run {
    let settings = home.file("attic.toml");
    home.setup(&[["--flash", flash, "-q", "--settings", &settings].as_slice(), more].concat())
}

fn cut(home: &Home, flash: &str, after: u64, more: &[&str]) -> Run {
    set_up(home, flash, &[["--fault", &format!("power-cut={after}")].as_slice(), more].concat())
}

/// A home with the settings.
fn home() -> Home {
    let home = Home::new();
    home.write("attic.toml", SETTINGS);
    home
}

/// The number of flash operations of a set-up: the smallest number after which a cut comes too late.
fn operations(home: &Home, before: Option<&[u8]>) -> u64 {
    let (mut cuts, mut finishes) = (OPERATIONS.start, OPERATIONS.end);
    while cuts + 1 < finishes {
        let middle = u64::midpoint(cuts, finishes);
        let flash = fresh(home, "count.bin", before);
        let run = cut(home, &flash, middle, &["--yes"]);
        if run.code == 0 { finishes = middle } else { cuts = middle }
    }
    finishes
}

/// A flash file with this content, or none.
fn fresh(home: &Home, name: &str, content: Option<&[u8]>) -> String {
    match content {
        Some(content) => home.write(name, content),
        None => {
            // The file of the run before may be there.
            let _ = fs::remove_file(home.path(name));
            home.file(name)
        }
    }
}

/// A device that is set up as `hall`, with a firmware that has no sector in common with the one that is written.
fn old_device(home: &Home) -> Vec<u8> {
    home.device("old.bin");
    let mut flash = fs::read(home.path("old.bin")).unwrap();
    for sector in flash[..espbroker_virtual_device::image::LENGTH].chunks_mut(4096) {
        sector[7] ^= 0x55;
    }
    // The free slot is not blank, so that writing to it begins with an erase.
    flash[CONFIG_B.offset as usize + 100] = 0;
    flash
}

/// The slots as they are, for a device that must keep them.
fn slots(flash: &[u8]) -> [&[u8]; 2] {
    [region(flash, &CONFIG_A), region(flash, &CONFIG_B)]
}

#[test]
fn a_blank_device_is_finished_by_the_same_command_wherever_power_was_cut() {
    let home = home();
    let operations = operations(&home, None);
    // The config and the image's first sector, which comes last, one by one; the rest at a spread that meets erases
    // and all parts of a sector.
    let last = operations - LAST;
    let step = usize::try_from(last / 11).unwrap();
    in_parallel((0..last).step_by(step).chain([1, 2]).chain(last..operations), |after| {
        let flash = home.file(&format!("{after}.bin"));
        let run = cut(&home, &flash, after, &[]);
        assert_eq!(run.code, 2, "cut after {after} operations: {}", run.stderr);
        assert!(run.stderr.contains("check its power"), "cut after {after} operations: {}", run.stderr);
        let again = set_up(&home, &flash, &[]);
        assert_eq!((again.code, again.stderr.as_str()), (0, ""), "cut after {after} operations");
        assert_eq!(active(&fs::read(&flash).unwrap()).1.name, "attic");
        fs::remove_file(flash).unwrap();
    });
}

/// Operations at the end of a set-up that surely hold all of the config's: an erase and one block of four pages.
const LAST: u64 = 14;

#[test]
fn an_old_config_survives_a_cut_at_every_step_of_writing_the_next() {
    let home = home();
    let old = old_device(&home);
    let (slot, old_config) = active(&old);
    assert_eq!((slot, old_config.name.as_str()), (Slot::A, "hall"));
    let operations = operations(&home, Some(&old));

    let (images, configs) = (AtomicU64::new(0), AtomicU64::new(0));
    in_parallel(operations - LAST..operations, |after| {
        let flash = fresh(&home, &format!("{after}.bin"), Some(&old));
        let run = cut(&home, &flash, after, &["--yes"]);
        assert_eq!(run.code, 2, "cut after {after} operations: {}", run.stderr);
        if run.stderr.contains("region `firmware`") {
            images.fetch_add(1, Ordering::Relaxed);
            return;
        }
        configs.fetch_add(1, Ordering::Relaxed);
        let left = fs::read(&flash).unwrap();
        assert!(slots(&left)[0] == slots(&old)[0], "cut after {after} operations: the old slot was touched");
        // The last block is filled up, and all of the config may be there when power goes; no less is taken for one.
        let (slot, config) = active(&left);
        match slot {
            Slot::A => assert_eq!(config, old_config),
            Slot::B => assert_eq!(config.name, "attic"),
        }
        let shown = show(&home, &flash);
        assert!(shown.starts_with(&format!("name = \"{}\"\n", config.name)), "{shown}");
        let again = set_up(&home, &flash, &["--yes"]);
        assert_eq!((again.code, again.stderr.as_str()), (0, ""), "cut after {after} operations");
        assert_eq!(active(&fs::read(&flash).unwrap()).1.name, "attic");
    });
    // Some of the image's are among them, so that none of the config's is missing.
    assert!(images.into_inner() > 0);
    let configs = configs.into_inner();
    assert!(configs >= 2, "an erase and a page at least: {configs}");
}

#[test]
fn an_old_config_survives_a_cut_anywhere_in_the_image() {
    let home = home();
    let old = old_device(&home);
    let config: Config = active(&old).1;
    in_parallel((0..OPERATIONS.start).step_by(133).chain([1]), |after| {
        let flash = fresh(&home, &format!("{after}.bin"), Some(&old));
        assert_eq!(cut(&home, &flash, after, &["--yes"]).code, 2);
        let left = fs::read(&flash).unwrap();
        assert!(slots(&left) == slots(&old), "cut after {after} operations");
        assert_eq!(find(&left).map(|(_, config)| config), Some(config.clone()));
        let again = set_up(&home, &flash, &["--yes"]);
        assert_eq!((again.code, again.stderr.as_str()), (0, ""), "cut after {after} operations");
    });
}

/// What `config show` prints for a device with this flash.
fn show(home: &Home, flash: &str) -> String {
    let device = Background::simulate(home, flash, &[]);
    home.run(&["config", "show", "-q", "--port", &device.line]).ok().to_owned()
}
