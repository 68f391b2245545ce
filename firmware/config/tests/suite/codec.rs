//! The codec against trees of CBOR that its own code has not written.

use espbroker_config::{
    codec::{DecodeError, EncodeError, UNKNOWN_DEPTH_MAX, decode, encode, encoded_length},
    model::{Config, User},
    slots::PAYLOAD_MAX,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    cbor::Item,
    samples::{any_config, everything, everything_at_first, filling_a_slot, hash},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_config_comes_back_as_it_was(config in any_config()) {
        match encode(&config) {
            Ok(bytes) => {
                prop_assert_eq!(encoded_length(&config), bytes.len());
                prop_assert_eq!(decode(&bytes), Ok(config));
            }
            Err(EncodeError::TooLong { length, limit }) => {
                prop_assert!(length > limit && limit == PAYLOAD_MAX);
            }
        }
    }

    #[test]
    fn unknown_keys_at_every_level_survive_a_change_by_an_older_program(
        config in any_config(),
        unknown in vec((prop_oneof![Just(0_u32), 24_u32..300, Just(u32::MAX)], any_value()), 1..4),
    ) {
        let Ok(bytes) = encode(&config) else { return Ok(()) };
        let mut newer = Item::parse(&bytes);
        newer.each_map(&mut |pairs| {
            for (key, value) in &unknown {
                if !pairs.iter().any(|(other, _)| other == key) {
                    pairs.push((*key, value.clone()));
                }
            }
        });
        let newer_bytes = newer.to_bytes();
        prop_assume!(newer_bytes.len() <= PAYLOAD_MAX - 100);

        let mut older = decode(&newer_bytes).unwrap();
        prop_assert_eq!(encode(&older).unwrap(), newer_bytes, "nothing changed, nothing lost");

        older.name = "renamed".into();
        older.broker.mqtt_port = 4711;
        *newer.at(&[1]) = Item::Leaf(b"\x67renamed".into());
        *newer.at(&[5, 1]) = Item::Leaf(vec![0x19, 0x12, 0x67]);
        prop_assert_eq!(Item::parse(&encode(&older).unwrap()), newer);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn damaged_configs_are_decoded_or_refused_and_what_is_decoded_can_be_written(
        place in any::<prop::sample::Index>(),
        bytes in vec(any::<u8>(), 1..4),
    ) {
        let mut damaged = encode(&everything()).unwrap();
        let place = place.index(damaged.len());
        for (old, new) in damaged[place..].iter_mut().zip(bytes) {
            *old = new;
        }
        if let Ok(config) = decode(&damaged) {
            let again = encode(&config).unwrap();
            prop_assert!(again.len() <= damaged.len(), "heads only get shorter");
            prop_assert_eq!(decode(&again), Ok(config));
        }
    }
}

/// Any value that a newer program might write.
fn any_value() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        (0_u8..24).prop_map(|number| vec![number]),
        Just(vec![0xF4]),
        Just(vec![0xF6]),
        Just(vec![0x3A, 1, 2, 3, 4]),
        Just(vec![0xFB, 0x40, 9, 0x21, 0xFB, 0x54, 0x44, 0x2D, 0x18]),
        Just(b"\xC1\x1A\x51\x4B\x67\xB0".to_vec()),
        vec(any::<u8>(), 0..20).prop_map(|bytes| [&[0x40 | bytes.len() as u8][..], &bytes].concat()),
    ];
    leaf.prop_map(Item::Leaf).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Item::Array),
            vec(inner, 0..3).prop_map(|items| Item::Map((0..).zip(items).collect())),
        ]
    })
}

/// `everything` with one item replaced.
fn with(path: &[u32], item: &[u8]) -> Vec<u8> {
    let mut tree = Item::parse(&encode(&everything()).unwrap());
    *tree.at(path) = Item::Leaf(item.into());
    tree.to_bytes()
}

#[test]
fn a_config_cut_anywhere_is_refused() {
    let bytes = encode(&everything()).unwrap();
    for cut in 0..bytes.len() {
        assert_eq!(decode(&bytes[..cut]), Err(DecodeError::Cut), "{cut}");
    }
    assert_eq!(decode(&[&bytes[..], &[0, 0]].concat()), Err(DecodeError::Trailing { length: 2 }));
}

#[test]
fn every_field_without_which_there_is_no_config_is_missed_by_its_name() {
    let mut missed = Vec::new();
    let tree = Item::parse(&encode(&everything()).unwrap());
    let mut maps = 0;
    tree.clone().each_map(&mut |_| maps += 1);
    for map in 0..maps {
        for entry in 0.. {
            let (mut tree, mut index, mut removed) = (tree.clone(), 0, false);
            tree.each_map(&mut |pairs| {
                if index == map && entry < pairs.len() {
                    pairs.remove(entry);
                    removed = true;
                }
                index += 1;
            });
            match decode(&tree.to_bytes()) {
                _ if !removed => break,
                Err(DecodeError::Missing { field }) => missed.push(field),
                other => assert!(other.is_ok(), "{other:?}"),
            }
        }
    }
    missed.sort_unstable();
    missed.dedup();
    assert_eq!(
        missed,
        [
            "access_point",
            "access_point.policy",
            "bridges",
            "bridges[].host",
            "bridges[].keep_alive",
            "bridges[].name",
            "bridges[].notifications",
            "bridges[].port",
            "bridges[].tls",
            "bridges[].topics",
            "bridges[].topics[].direction",
            "bridges[].topics[].local_prefix",
            "bridges[].topics[].pattern",
            "bridges[].topics[].qos",
            "bridges[].topics[].remote_prefix",
            "broker",
            "broker.anonymous",
            "broker.limits",
            "broker.limits.clients",
            "broker.limits.packet_size",
            "broker.limits.queue_bytes",
            "broker.limits.retained_bytes",
            "broker.limits.retained_messages",
            "broker.limits.subscriptions_per_client",
            "broker.mqtt_port",
            "broker.users",
            "broker.users[].hash",
            "broker.users[].iterations",
            "broker.users[].name",
            "broker.users[].salt",
            "broker.websocket_port",
            "cluster.key",
            "cluster.name",
            "cluster.priority",
            "name",
            "permissions[].access",
            "permissions[].pattern",
            "profile.id",
            "profile.pins",
            "role",
            "wifi.hidden",
            "wifi.ipv4.address",
            "wifi.ipv4.gateway",
            "wifi.ipv4.prefix",
            "wifi.ssid",
        ]
    );
}

#[test]
fn items_of_the_wrong_kind_are_refused_for_what_they_are() {
    use DecodeError::{Length, Malformed, TooMany, Type, Variant};
    let refused = |path: &[u32], item: &[u8]| decode(&with(path, item)).unwrap_err();

    assert!(matches!(refused(&[1], &[0x41, b'x']), Type { .. }), "bytes for a name");
    assert!(matches!(refused(&[1], &[0x61, 0xFF]), Type { .. }), "a name that is not UTF-8");
    assert!(matches!(refused(&[5, 1], &[0x1A, 0, 1, 0, 0]), Type { .. }), "a port of 65536");
    assert!(matches!(refused(&[3, 3], &[0x01]), Type { .. }), "a number for a boolean");
    assert!(matches!(refused(&[3], &[0x80]), Type { .. }), "an array for a map");
    assert!(matches!(refused(&[3], &[0xBF, 0xFF]), Malformed { .. }), "a map of indefinite length");
    assert!(matches!(refused(&[6], &[0x9F, 0xFF]), Malformed { .. }), "an array of indefinite length");
    assert!(matches!(refused(&[1], &[0x7F, 0x61, b'x', 0xFF]), Type { .. }), "text of indefinite length");

    assert_eq!(refused(&[2], &[0]), Variant { field: "role", number: 0 });
    assert_eq!(refused(&[2], &[4]), Variant { field: "role", number: 4 });
    assert_eq!(refused(&[4, 1], &[9]), Variant { field: "access_point.policy", number: 9 });
    assert_eq!(refused(&[7, 2, 0, 1], &[10]), Variant { field: "profile.pins[].function", number: 10 });
    let access = Variant { field: "permissions[].access", number: 5 };
    assert_eq!(refused(&[5, 4, 1, 5, 0, 2], &[5]), access);
    assert_eq!(refused(&[5, 6, 1, 2], &[5]), access);
    assert_eq!(refused(&[8], &[0x41, 0]), Length { field: "admin_key", expected: 32 });
    assert_eq!(refused(&[3, 4], &[0x45, 0, 0, 0, 0, 0]), Length { field: "wifi.bssid", expected: 6 });
    assert_eq!(refused(&[3, 2], &[0x43, 0, 0, 0]), Length { field: "wifi.passphrase", expected: 32 });
    assert_eq!(refused(&[5, 4, 0, 4], &[0x40]), Length { field: "broker.users[].hash", expected: 64 });
    assert_eq!(refused(&[7, 2, 0], &[0x82, 0, 1]), Length { field: "profile.pins[]", expected: 3 });

    assert_eq!(refused(&[6], &[0x85]), TooMany { field: "bridges", limit: 4 });
    assert_eq!(refused(&[6, 0, 10], &[0x91]), TooMany { field: "bridges[].topics", limit: 16 });
    assert_eq!(refused(&[5, 4], &[0x91]), TooMany { field: "broker.users", limit: 16 });
    assert_eq!(refused(&[5, 4, 0, 5], &[0x91]), TooMany { field: "broker.users[].permissions", limit: 16 });
    assert_eq!(refused(&[5, 6], &[0x91]), TooMany { field: "broker.anonymous_permissions", limit: 16 });
    assert_eq!(refused(&[7, 2], &[0x98, 0xFF]), TooMany { field: "profile.pins", limit: 16 });
    let huge = [0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(refused(&[6], &huge), TooMany { field: "bridges", limit: 4 });
}

#[test]
fn keys_must_ascend_so_that_none_comes_twice() {
    // name twice; name after role; a key that is text; a key beyond 32 bits.
    assert_eq!(decode(b"\xA2\x01\x61x\x01\x61y"), Err(DecodeError::KeyOrder { offset: 4 }));
    assert_eq!(decode(b"\xA2\x02\x01\x01\x61y"), Err(DecodeError::KeyOrder { offset: 3 }));
    assert_eq!(decode(b"\xA1\x61x\x00"), Err(DecodeError::Type { offset: 1 }));
    assert_eq!(decode(b"\xA1\x1B\0\0\0\x01\0\0\0\0\x00"), Err(DecodeError::Type { offset: 1 }));
}

#[test]
fn unknown_values_are_kept_down_to_a_depth_and_refused_below() {
    let nested = |depth: u8| {
        let value = [vec![0x81; depth.into()], vec![0x00]].concat();
        let mut tree = Item::parse(&encode(&Config::new("x")).unwrap());
        tree.each_map(&mut |pairs| {
            if pairs.iter().any(|(key, _)| *key == 5) && pairs[0].1 == Item::Leaf(b"\x61x".into()) {
                pairs.push((99, Item::Leaf(value.clone())));
            }
        });
        tree.to_bytes()
    };
    let bytes = nested(UNKNOWN_DEPTH_MAX);
    let kept = decode(&bytes).unwrap();
    assert_eq!(kept.unknown.keys().collect::<Vec<_>>(), [99]);
    assert_eq!(encode(&kept).unwrap(), bytes);
    assert!(matches!(decode(&nested(UNKNOWN_DEPTH_MAX + 1)), Err(DecodeError::TooDeep { .. })));
}

#[test]
fn an_unknown_entry_moved_into_a_map_that_knows_its_key_gives_way() {
    let mut tree = Item::parse(&encode(&Config::new("x")).unwrap());
    tree.at(&[5, 5]).each_map(&mut |pairs| pairs.push((9, Item::Leaf(vec![0]))));
    let mut config = decode(&tree.to_bytes()).unwrap();
    assert_eq!(config.broker.limits.unknown.keys().collect::<Vec<_>>(), [9]);
    // 9 is the cluster, and there is none.
    config.unknown = config.broker.limits.unknown.clone();
    let again = decode(&encode(&config).unwrap()).unwrap();
    assert!(again.unknown.is_empty() && again.cluster.is_none());
    assert_eq!(again.broker.limits.unknown, config.broker.limits.unknown);
}

#[test]
fn a_config_may_fill_the_slot_and_not_one_byte_more() {
    let mut config = filling_a_slot();
    let bytes = encode(&config).unwrap();
    assert_eq!(bytes.len(), PAYLOAD_MAX);
    assert_eq!(decode(&bytes), Ok(config.clone()));

    config.bridges[0].host.push('h');
    let error = encode(&config).unwrap_err();
    assert_eq!(error, EncodeError::TooLong { length: PAYLOAD_MAX + 1, limit: PAYLOAD_MAX });
    assert_eq!(error.to_string(), "config is longer than a slot of 4076 bytes: 4077");
    assert_eq!(encoded_length(&config), PAYLOAD_MAX + 1);
}

#[test]
fn a_later_field_that_is_written_out_means_the_same_as_one_that_is_left_out() {
    let (first, mut tree) = (everything_at_first(), Item::parse(&encode(&everything_at_first()).unwrap()));
    let number = |number: u8| Item::Leaf(if number < 24 { vec![number] } else { vec![0x18, number] });
    let mut add = |path: &[u32], entries: &[(u32, Item)]| {
        let Item::Map(pairs) = tree.at(path) else { panic!("not a map") };
        pairs.extend_from_slice(entries);
    };
    let (no, yes, nothing) = (Item::Leaf(vec![0xF4]), Item::Leaf(vec![0xF5]), Item::Array(vec![]));
    add(&[5], &[(6, nothing.clone()), (7, number(10))]);
    add(&[5, 4, 0], &[(5, nothing)]);
    add(&[5, 5], &[(7, number(16)), (8, number(100))]);
    let bridge =
        [(11, no.clone()), (12, yes.clone()), (14, no), (15, yes), (16, number(5)), (17, number(30))];
    add(&[6, 0], &bridge);
    let written_out = decode(&tree.to_bytes()).unwrap();
    assert_eq!(written_out, first);
    assert_eq!(encode(&written_out), encode(&first));
}

#[test]
fn sixteen_users_with_the_longest_salts_and_four_bridges_fit() {
    let mut config = everything();
    config.broker.users = (0..16).map(|index| User::new(format!("user-{index:02}"), hash(101, 64))).collect();
    let bridge = config.bridges[0].clone();
    config.bridges = vec![bridge; 4];
    assert!(encode(&config).unwrap().len() <= PAYLOAD_MAX);
}

#[test]
fn nothing_that_is_printed_for_debugging_holds_a_secret() {
    let config = everything();
    let text = format!("{config:?}");
    for secret in ["correct horse", "first contact", "hunter2", "165, 165", "90, 90", "7, 8, 9"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
