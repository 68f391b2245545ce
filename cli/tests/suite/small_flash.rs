//! A device with 1 MB of flash, as most plugs have, from set-up to wipe.

use std::fs;

use espbroker_config::{
    flash_map::FlashMap,
    image::{Fields, Target, locate, seal},
    slots::{self, Slot, SlotState},
};
use espbroker_virtual_device::image;
use insta::assert_snapshot;

use crate::{
    common::{Background, Home, Run},
    settings::region,
};

const MAP: FlashMap = FlashMap::Map1M;

/// The built-in image as it is when it is built for 1 MB: the size in its header, and the map.
fn small_image(home: &Home) -> String {
    let mut image = image::build("1.0.0").unwrap();
    image[3] = 2 << 4 | image[3] & 0xF;
    let descriptor = locate(&image).unwrap().offset;
    let fields = Fields { target: Target::Virtual, flash_map: MAP, name: "espbroker", version: "1.0.0" };
    seal(&mut image, descriptor, &fields).unwrap();
    home.write("small.bin", image)
}

fn set_up(home: &Home, more: &[&str]) -> Run {
    let image = small_image(home);
    let fixed = ["-q", "--flash", "flash.bin", "--image", &image, "--allow-unsigned", "--name", "plug"];
    home.setup(&[fixed.as_slice(), more].concat())
}

#[test]
fn a_plug_is_set_up_read_changed_saved_and_wiped_by_its_own_map() {
    let home = Home::new();
    let run = set_up(&home, &["--fault", "flash-1mb", "--ssid", "home", "--open-network"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let flash = || fs::read(home.path("flash.bin")).unwrap();
    let slot = |slot| match slots::read_sector(region(&flash(), &MAP.config(slot))) {
        SlotState::Valid(record) => record.config.name,
        other => panic!("{other:?}"),
    };
    assert_eq!(flash().len(), 1 << 20);
    assert_eq!(slot(Slot::A), "plug");

    let device = Background::simulate(&home, "flash.bin", &["--network", "home", "--fault", "flash-1mb"]);
    let on = |arguments: &[&str]| home.run(&[arguments, &["-q", "--port", &device.line]].concat());
    assert!(on(&["info"]).ok().contains("1024 KB"));
    assert!(on(&["config", "show"]).ok().contains("plug"));
    assert_eq!(
        on(&["config", "write", "--settings", &home.write("lamp.toml", "name = \"lamp\""), "--yes"]).code,
        0
    );
    assert_eq!(slot(Slot::B), "lamp");

    assert_eq!(on(&["backup", "all.bin"]).code, 0);
    let saved = fs::read(home.path("all.bin")).unwrap();
    assert_eq!(saved.len(), 1 << 20);
    for secret in [MAP.config(Slot::A), MAP.config(Slot::B), MAP.system_parameter()] {
        assert!(region(&saved, &secret).iter().all(|byte| *byte == 0xFF), "{}", secret.name);
    }
    assert!(saved[..MAP.image_max() as usize] == flash()[..MAP.image_max() as usize]);
    assert_snapshot!(on(&["erase", "--region", "ota2", "--yes"]).verdict(), @"
    exit 2
    error: no such region in the flash map: `ota2`

    hint: the regions are boot, ota1, config-a, config-b, store, rf-cal, phy-data, sdk
    ");

    assert_eq!(on(&["wipe", "--confirm", "lamp"]).code, 0);
    let wiped = flash();
    for blank in [MAP.config(Slot::A), MAP.config(Slot::B), MAP.system_parameter(), MAP.store()] {
        assert!(region(&wiped, &blank).iter().all(|byte| *byte == 0xFF), "{}", blank.name);
    }
}

#[test]
fn an_image_for_1_mb_is_refused_by_a_flash_of_4_mb() {
    let home = Home::new();
    assert_snapshot!(set_up(&home, &["--ssid", "home", "--open-network"]).verdict(), @"
    exit 1
    error: image is for a flash of 1 MB, and this one has 4096 KB

    hint: take the image for 4 MB, espbroker-esp8266-4mb.bin; nothing was changed
    ");
    assert!(fs::read(home.path("flash.bin")).unwrap().iter().all(|byte| *byte == 0xFF));
}
