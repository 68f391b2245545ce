//! Sectors as released versions have written them: every one decodes for ever.
//!
//! To add one, append a line to [`vectors`] with `crc: 0` and run
//! `cargo test -p espbroker-config --test suite -- --ignored`: it writes the files that do not exist yet and prints
//! their CRCs for the table. Files and lines are never changed or removed; a change of the model that makes a line
//! fail needs another way to read what is out there, not another file.

use std::{fs, path::PathBuf};

use espbroker_config::{
    codec::{decode, encode},
    model::{AccessPoint, AccessPointPolicy, Anonymous, Broker, Config, Limits, Passphrase, Role, Wifi},
    secret::Secret,
    slots::{
        Mark, RollBack, Slot, SlotState, Standing, encode_sector, encode_sector_on_trial, mark, read_sector,
    },
};

use crate::{
    cbor::Item,
    nor::Nor,
    samples::{
        broker_at_first, everything, everything_at_first, filling_a_slot, limits_at_first, plug,
        plug_at_first,
    },
};

struct Vector {
    /// Format version and what is special about it.
    file: &'static str,
    /// As in the file's header.
    crc: u32,
    sequence: u32,
    /// What the file means. A field that comes later is at what its absence stands for.
    config: fn() -> Config,
}

fn vectors() -> [Vector; 7] {
    [
        Vector { file: "1-defaults.bin", crc: 0x3FD3_E9F1, sequence: 1, config: plain },
        Vector { file: "1-everything.bin", crc: 0x04AC_56B5, sequence: 2, config: everything_at_first },
        Vector {
            file: "1-unknown-keys.bin",
            crc: 0x4386_4D88,
            sequence: u32::MAX,
            config: with_unknown_keys,
        },
        Vector { file: "1-wifi-key.bin", crc: 0x2DCD_8398, sequence: 0, config: with_wifi_key },
        Vector { file: "1-full.bin", crc: 0x6806_6086, sequence: 0x0102_0304, config: filling_a_slot },
        Vector { file: "1-permissions.bin", crc: 0x8943_B7A4, sequence: 3, config: everything },
        Vector { file: "1-plug.bin", crc: 0x386B_B0DB, sequence: 4, config: plug },
    ]
}

/// The defaults of version 0.1, by value: they may change, what was written may not.
fn plain() -> Config {
    let limits = Limits {
        clients: 32,
        subscriptions_per_client: 16,
        retained_messages: 64,
        retained_bytes: 8192,
        packet_size: 4096,
        queue_bytes: 4096,
        ..limits_at_first()
    };
    Config {
        role: Role::Broker,
        access_point: AccessPoint { policy: AccessPointPolicy::Fallback, ..AccessPoint::default() },
        broker: Broker {
            mqtt_port: 1883,
            websocket_port: 0,
            anonymous: Anonymous::Refused,
            limits,
            ..broker_at_first()
        },
        plug: plug_at_first(),
        ..Config::new("espbroker")
    }
}

fn with_wifi_key() -> Config {
    let key = std::array::from_fn(|index| index as u8);
    let wifi = Wifi { passphrase: Some(Passphrase::Key(Secret::new(key))), ..Wifi::new(b"home".as_slice()) };
    Config { wifi: Some(wifi), ..plain() }
}

/// What a newer program wrote: an entry that this version does not know in every map, also in front.
fn with_unknown_keys() -> Config {
    let mut tree = Item::parse(&encode(&everything_at_first()).expect("it fits"));
    tree.each_map(&mut |pairs| {
        pairs.push((0, Item::Leaf(vec![0xF5])));
        pairs.push((100, Item::Map(vec![(1, Item::Leaf(b"\x65newer".into()))])));
    });
    decode(&tree.to_bytes()).expect("unknown keys are no error")
}

/// A whole sector of a config that was tried, with what the device has noted.
struct Tried {
    file: &'static str,
    sequence: u32,
    marks: &'static [Mark],
    standing: Standing,
}

/// What every one of them holds, with 90 seconds.
fn tried_config() -> Config {
    Config { name: "tried".into(), ..plain() }
}

fn tried() -> [Tried; 4] {
    let on_trial = |starts| Standing::OnTrial { try_for: 90, starts };
    [
        Tried { file: "1-on-trial.bin", sequence: 4, marks: &[], standing: on_trial(0) },
        Tried {
            file: "1-on-trial-started.bin",
            sequence: 5,
            marks: const { &[Mark::Start { starts: 0 }, Mark::Start { starts: 1 }] },
            standing: on_trial(2),
        },
        Tried {
            file: "1-kept.bin",
            sequence: 6,
            marks: const { &[Mark::Start { starts: 0 }, Mark::Kept] },
            standing: Standing::Kept,
        },
        Tried {
            file: "1-rolled-back.bin",
            sequence: 7,
            marks: const { &[Mark::Start { starts: 0 }, Mark::RolledBack(RollBack::WrongPassphrase)] },
            standing: Standing::RolledBack(RollBack::WrongPassphrase),
        },
    ]
}

impl Tried {
    fn sector(&self) -> Vec<u8> {
        let mut flash = Nor::blank();
        flash.put(Slot::A, &encode_sector_on_trial(&tried_config(), self.sequence, 90).unwrap());
        self.marks.iter().for_each(|word| mark(&mut flash, Slot::A, *word).unwrap());
        flash.sector(Slot::A).to_vec()
    }
}

#[test]
fn every_listed_vector_of_a_trial_is_read_and_written_as_it_stands() {
    for tried in tried() {
        let bytes = fs::read(folder().join(tried.file)).unwrap();
        let SlotState::Valid(record) = read_sector(&bytes) else { panic!("{}", tried.file) };
        let found = (record.sequence, record.standing, record.config);
        assert_eq!(found, (tried.sequence, tried.standing, tried_config()), "{}", tried.file);
        assert_eq!(tried.sector(), bytes, "{}", tried.file);
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_listed_vector_decodes_to_its_config_and_encodes_to_its_bytes() {
    for Vector { file, crc, sequence, config } in vectors() {
        let bytes = fs::read(folder().join(file)).unwrap();
        let SlotState::Valid(record) = read_sector(&bytes) else {
            panic!("{file}: {:?}", read_sector(&bytes))
        };
        assert_eq!(record.crc, crc, "{file} is not the file that was listed");
        assert_eq!((record.sequence, &record.config), (sequence, &config()), "{file}");
        assert_eq!(encode_sector(&record.config, sequence).unwrap(), bytes, "{file}");
    }
}

#[test]
fn every_vector_in_the_folder_is_listed() {
    let mut listed: Vec<_> = vectors().map(|vector| vector.file).into();
    listed.extend(tried().map(|tried| tried.file));
    let mut found = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(listed.iter().any(|file| name == *file), "{name:?} is not listed");
        found += 1;
    }
    assert_eq!(found, listed.len());
}

#[test]
#[ignore = "writes into the source folder"]
fn write_the_listed_vectors_that_do_not_exist_yet() {
    fs::create_dir_all(folder()).unwrap();
    for Vector { file, sequence, config, .. } in vectors() {
        let path = folder().join(file);
        if !path.exists() {
            fs::write(&path, encode_sector(&config(), sequence).unwrap()).unwrap();
        }
        if let SlotState::Valid(record) = read_sector(&fs::read(&path).unwrap()) {
            println!("{file}: crc 0x{:08x}", record.crc);
        }
    }
    for tried in tried() {
        let path = folder().join(tried.file);
        if !path.exists() {
            fs::write(&path, tried.sector()).unwrap();
        }
    }
}
