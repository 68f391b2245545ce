//! Configs to test with: one that has everything, and any that the model can express.

use espbroker_config::{
    codec::{Unknown, encoded_length},
    model::{
        Access, AccessPoint, AccessPointPolicy, Anonymous, Bridge, BridgeTopic, Broker, Cluster, Config,
        Direction, FixedIpv4, LedUse, Limits, Passphrase, PasswordHash, Permission, Pin, PinFunction, Plug,
        PowerOn, Profile, Role, User, Wifi,
    },
    secret::Secret,
    slots::PAYLOAD_MAX,
};
use proptest::{array::uniform4, array::uniform6, array::uniform32, collection::vec, option, prelude::*};

/// Every field that there is has a value, and one that is written; every list more than one entry.
///
/// A golden vector holds this config, so it stays as it is; fields that come later get a sample of their own.
pub(crate) fn everything() -> Config {
    let mut config = everything_at_first();
    config.broker.anonymous_permissions =
        vec![Permission::new("public/#", Access::Read), Permission::new("public/secret", Access::Deny)];
    config.broker.sys_interval = 0;
    config.broker.limits.sessions = 4;
    config.broker.limits.queue_messages = 1000;
    for (user, own) in config.broker.users.iter_mut().zip(["house/%u/#", "house/+/from-%c"]) {
        user.permissions =
            vec![Permission::new(own, Access::ReadWrite), Permission::new("commands/+", Access::Write)];
    }
    for bridge in &mut config.bridges {
        bridge.clean_session = true;
        bridge.try_private = false;
        bridge.notification_topic = Some(format!("bridges/{}", bridge.name));
        bridge.notifications_local_only = true;
        bridge.outgoing_retain = false;
        bridge.restart_base = 1;
        bridge.restart_cap = 3600;
    }
    config
}

/// Every field that the format began with has a value, every list more than one entry; later fields are at what their
/// absence stands for.
///
/// Golden vectors hold this config, so it stays as it is.
pub(crate) fn everything_at_first() -> Config {
    Config {
        role: Role::BrokerAndPlug,
        wifi: Some(Wifi {
            passphrase: Some(Passphrase::Text(Secret::new("correct horse battery staple".into()))),
            hidden: true,
            bssid: Some([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]),
            channel: Some(11),
            ipv4: Some(FixedIpv4 {
                dns: Some([9, 9, 9, 9]),
                ..FixedIpv4::new([192, 168, 1, 20], 24, [192, 168, 1, 1])
            }),
            ..Wifi::new(b"caf\xC3\xA9 \xFF".as_slice())
        }),
        access_point: AccessPoint {
            policy: AccessPointPolicy::Always,
            ssid: Some(b"kitchen setup".into()),
            passphrase: Some(Secret::new("first contact".into())),
            ..AccessPoint::default()
        },
        broker: Broker {
            mqtt_port: 1884,
            websocket_port: 9001,
            anonymous: Anonymous::Allowed,
            users: vec![User::new("ann", hash(101, 12)), User::new("b\u{f6}b", hash(5, 64))],
            limits: Limits {
                clients: 8,
                subscriptions_per_client: 16,
                retained_messages: 64,
                retained_bytes: 65_535,
                packet_size: 4096,
                queue_bytes: 4096,
                ..limits_at_first()
            },
            ..broker_at_first()
        },
        bridges: vec![
            Bridge {
                port: 8883,
                tls: true,
                user: Some("kitchen".into()),
                password: Some(Secret::new("hunter2".into())),
                client_id: Some("kitchen-link".into()),
                keep_alive: 30,
                notifications: false,
                topics: vec![
                    BridgeTopic {
                        qos: 1,
                        local_prefix: "home/".into(),
                        remote_prefix: "kitchen/".into(),
                        ..BridgeTopic::new("sensors/#", Direction::Out)
                    },
                    BridgeTopic::new("commands/+", Direction::In),
                ],
                ..bridge_at_first("cloud", "broker.example.org")
            },
            Bridge {
                port: 1883,
                tls: false,
                keep_alive: 60,
                notifications: true,
                ..bridge_at_first("cellar", "192.168.1.30")
            },
        ],
        profile: Some(Profile {
            pins: vec![
                Pin { gpio: 0, function: PinFunction::Button, inverted: true },
                Pin { gpio: 12, function: PinFunction::Relay, inverted: false },
                Pin { gpio: 13, function: PinFunction::Led, inverted: true },
            ],
            ..Profile::new("sonoff-basic")
        }),
        admin_key: Some(Secret::new([0xA5; 32])),
        cluster: Some(Cluster {
            priority: 200,
            virtual_ipv4: Some([192, 168, 1, 40]),
            ..Cluster::new("house", Secret::new([0x5A; 32]))
        }),
        plug: plug_at_first(),
        ..Config::new("kitchen")
    }
}

/// A plug that does neither of what an absent entry stands for.
pub(crate) fn plug() -> Config {
    let plug = Plug { power_on: PowerOn::Off, led: LedUse::Off, ..Plug::default() };
    Config { role: Role::Plug, plug, ..everything_at_first() }
}

/// What the absence of later fields stands for, by value: defaults may change, what was written may not.
pub(crate) fn broker_at_first() -> Broker {
    Broker { anonymous_permissions: vec![], sys_interval: 10, ..Broker::default() }
}

/// As [`broker_at_first`].
pub(crate) fn limits_at_first() -> Limits {
    Limits { sessions: 16, queue_messages: 100, ..Limits::default() }
}

/// As [`broker_at_first`].
pub(crate) fn plug_at_first() -> Plug {
    Plug { power_on: PowerOn::Last, led: LedUse::Status, ..Plug::default() }
}

fn bridge_at_first(name: &str, host: &str) -> Bridge {
    Bridge {
        clean_session: false,
        try_private: true,
        notification_topic: None,
        notifications_local_only: false,
        outgoing_retain: true,
        restart_base: 5,
        restart_cap: 30,
        ..Bridge::new(name, host)
    }
}

/// A config whose CBOR is as long as a slot takes.
pub(crate) fn filling_a_slot() -> Config {
    let mut config = everything_at_first();
    config.bridges[0].host = "h".repeat(1000);
    let room = PAYLOAD_MAX - encoded_length(&config);
    config.bridges[0].host += &"h".repeat(room);
    config
}

/// A hash of nothing: the codec does not look at what it holds.
pub(crate) fn hash(iterations: u32, salt_length: u8) -> PasswordHash {
    PasswordHash {
        iterations,
        salt: (0..salt_length).collect(),
        hash: std::array::from_fn(|index| index as u8),
    }
}

/// Any config that the types allow, valid or not, as long as it fits into a slot.
pub(crate) fn any_config() -> impl Strategy<Value = Config> {
    let top = (text(), variant(Role::from_number), option::of(any_wifi()), any_access_point(), any_broker());
    let rest = (
        vec(any_bridge(), 0..=4),
        option::of((text(), vec(any_pin(), 0..=16))),
        option::of(uniform32(any::<u8>())),
        option::of((text(), uniform32(any::<u8>()), any::<u8>(), option::of(uniform4(any::<u8>())))),
        (variant(PowerOn::from_number), variant(LedUse::from_number)),
    );
    (top, rest).prop_map(
        |((name, role, wifi, access_point, broker), (bridges, profile, admin_key, cluster, plug))| Config {
            name,
            role,
            wifi,
            access_point,
            broker,
            bridges,
            profile: profile.map(|(id, pins)| Profile { pins, ..Profile::new(id) }),
            plug: Plug { power_on: plug.0, led: plug.1, ..Plug::default() },
            admin_key: admin_key.map(Secret::new),
            cluster: cluster.map(|(name, key, priority, virtual_ipv4)| Cluster {
                priority,
                virtual_ipv4,
                ..Cluster::new(name, Secret::new(key))
            }),
            unknown: Unknown::default(),
        },
    )
}

fn any_wifi() -> impl Strategy<Value = Wifi> {
    let passphrase = prop_oneof![
        text().prop_map(|text| Passphrase::Text(Secret::new(text))),
        uniform32(any::<u8>()).prop_map(|key| Passphrase::Key(Secret::new(key))),
    ];
    let address = || uniform4(any::<u8>());
    let ipv4 = (address(), any::<u8>(), address(), option::of(address())).prop_map(
        |(address, prefix, gateway, dns)| FixedIpv4 { dns, ..FixedIpv4::new(address, prefix, gateway) },
    );
    (
        vec(any::<u8>(), 0..40),
        option::of(passphrase),
        any::<bool>(),
        option::of(uniform6(any::<u8>())),
        any::<Option<u8>>(),
        option::of(ipv4),
    )
        .prop_map(|(ssid, passphrase, hidden, bssid, channel, ipv4)| Wifi {
            passphrase,
            hidden,
            bssid,
            channel,
            ipv4,
            ..Wifi::new(ssid)
        })
}

fn any_access_point() -> impl Strategy<Value = AccessPoint> {
    (variant(AccessPointPolicy::from_number), option::of(vec(any::<u8>(), 0..40)), option::of(text()))
        .prop_map(|(policy, ssid, passphrase)| AccessPoint {
            policy,
            ssid,
            passphrase: passphrase.map(Secret::new),
            unknown: Unknown::default(),
        })
}

fn any_broker() -> impl Strategy<Value = Broker> {
    let user = (text(), any::<u32>(), vec(any::<u8>(), 0..64), any_permissions()).prop_map(
        |(name, iterations, salt, permissions)| {
            let hash = std::array::from_fn(|index| salt.get(index).copied().unwrap_or(0xFF));
            User { permissions, ..User::new(name, PasswordHash { iterations, salt, hash }) }
        },
    );
    let limits = (any::<[u16; 3]>(), any::<[u32; 3]>(), or(16), or(100)).prop_map(
        |(small, large, sessions, queue_messages)| Limits {
            clients: small[0],
            subscriptions_per_client: small[1],
            retained_messages: small[2],
            retained_bytes: large[0],
            packet_size: large[1],
            queue_bytes: large[2],
            sessions,
            queue_messages,
            unknown: Unknown::default(),
        },
    );
    let ports = any::<(u16, u16)>();
    let anonymous = (variant(Anonymous::from_number), any_permissions());
    (ports, anonymous, vec(user, 0..=6), or(10), limits).prop_map(
        |((mqtt_port, websocket_port), (anonymous, anonymous_permissions), users, sys_interval, limits)| {
            Broker {
                mqtt_port,
                websocket_port,
                anonymous,
                anonymous_permissions,
                users,
                sys_interval,
                limits,
                unknown: Unknown::default(),
            }
        },
    )
}

fn any_permissions() -> impl Strategy<Value = Vec<Permission>> {
    let permission = (text(), variant(Access::from_number));
    vec(permission.prop_map(|(pattern, access)| Permission::new(pattern, access)), 0..3)
}

/// Any number, and often the one that the absence of a field stands for.
fn or(absent: u16) -> impl Strategy<Value = u16> {
    prop_oneof![Just(absent), any::<u16>()]
}

fn any_bridge() -> impl Strategy<Value = Bridge> {
    let topic = (text(), variant(Direction::from_number), any::<u8>(), text(), text()).prop_map(
        |(pattern, direction, qos, local_prefix, remote_prefix)| BridgeTopic {
            pattern,
            direction,
            qos,
            local_prefix,
            remote_prefix,
            unknown: Unknown::default(),
        },
    );
    let link = (text(), text(), any::<u16>(), any::<bool>(), or(5), or(30));
    let credentials = (option::of(text()), option::of(text()), option::of(text()));
    let session = (any::<u16>(), any::<[bool; 5]>(), option::of(text()));
    (link, credentials, session, vec(topic, 0..4)).prop_map(|(link, credentials, session, topics)| {
        let (name, host, port, tls, restart_base, restart_cap) = link;
        let (user, password, client_id) = credentials;
        let (keep_alive, flags, notification_topic) = session;
        Bridge {
            name,
            host,
            port,
            tls,
            user,
            password: password.map(Secret::new),
            client_id,
            keep_alive,
            clean_session: flags[0],
            try_private: flags[1],
            notifications: flags[2],
            notification_topic,
            notifications_local_only: flags[3],
            outgoing_retain: flags[4],
            restart_base,
            restart_cap,
            topics,
            unknown: Unknown::default(),
        }
    })
}

fn any_pin() -> impl Strategy<Value = Pin> {
    (any::<u8>(), variant(PinFunction::from_number), any::<bool>())
        .prop_map(|(gpio, function, inverted)| Pin { gpio, function, inverted })
}

/// Short texts of any characters, with the lengths around a longer CBOR head among them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => ".{0,8}", 1 => "[a-z]{23,24}"]
}

/// Any variant of an enum with numbers from 1 on.
fn variant<T: std::fmt::Debug>(from_number: fn(u8) -> Option<T>) -> impl Strategy<Value = T> {
    let count = (1..=u8::MAX).take_while(|number| from_number(*number).is_some()).count();
    (1..=count).prop_filter_map("a variant", move |number| from_number(u8::try_from(number).ok()?))
}
