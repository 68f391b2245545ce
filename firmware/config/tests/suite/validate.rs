//! Every limit at its bound and one beyond, with the text that a user reads.

use espbroker_config::{
    model::{
        Access, AccessPointPolicy, Bridge, BridgeTopic, Cluster, Config, Direction, FixedIpv4, Passphrase,
        Permission, Pin, PinFunction, Profile, Role, User, Wifi,
    },
    secret::Secret,
};

use crate::samples::{everything, hash};

type Change = fn(&mut Config);

fn accepted(changes: &[Change]) {
    for (index, change) in changes.iter().enumerate() {
        let mut config = everything();
        change(&mut config);
        assert_eq!(config.validate(), Ok(()), "change {index}");
    }
}

fn refused(changes: &[(Change, &str)]) {
    for (change, message) in changes {
        let mut config = everything();
        change(&mut config);
        let error = config.validate().map_err(|invalid| invalid.to_string());
        assert_eq!(error, Err((*message).to_owned()));
    }
}

fn wifi(config: &mut Config) -> &mut Wifi {
    config.wifi.as_mut().expect("the sample has one")
}

fn ipv4(config: &mut Config) -> &mut FixedIpv4 {
    wifi(config).ipv4.as_mut().expect("the sample has one")
}

fn profile(config: &mut Config) -> &mut Profile {
    config.profile.as_mut().expect("the sample has one")
}

fn cluster(config: &mut Config) -> &mut Cluster {
    config.cluster.as_mut().expect("the sample has one")
}

fn topic(config: &mut Config) -> &mut BridgeTopic {
    &mut config.bridges[0].topics[0]
}

#[test]
fn the_sample_and_the_defaults_are_valid() {
    assert_eq!(everything().validate(), Ok(()));
    assert_eq!(Config::new("espbroker").validate(), Ok(()));
    let joined = Config { wifi: Some(Wifi::new(b"home".as_slice())), ..Config::new("espbroker") };
    assert_eq!(joined.validate(), Ok(()));
}

#[test]
fn name() {
    accepted(&[|c| c.name = "a".into(), |c| c.name = "a-9".into(), |c| c.name = "x".repeat(32)]);
    let long = "name is \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\": must be 1-32 characters a-z, 0-9 or -, with - inside only";
    refused(&[
        (|c| c.name.clear(), "name is \"\": must be 1-32 characters a-z, 0-9 or -, with - inside only"),
        (|c| c.name = "x".repeat(33), long),
        (
            |c| c.name = "x".repeat(4000),
            "name is 4000 bytes: must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (
            |c| c.name = "Küche".into(),
            "name is \"Küche\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (
            |c| c.name = "-a".into(),
            "name is \"-a\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (
            |c| c.name = "a-".into(),
            "name is \"a-\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (
            |c| c.name = "a\n".into(),
            "name is \"a\\n\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
    ]);
}

#[test]
fn wifi_network() {
    accepted(&[
        |c| wifi(c).ssid = vec![0],
        |c| wifi(c).ssid = vec![0xFF; 32],
        |c| wifi(c).passphrase = None,
        |c| wifi(c).passphrase = Some(Passphrase::Text(Secret::new("12345678".into()))),
        |c| wifi(c).passphrase = Some(Passphrase::Text(Secret::new("~".repeat(63)))),
        |c| wifi(c).passphrase = Some(Passphrase::Key(Secret::new([0; 32]))),
        |c| wifi(c).channel = Some(1),
        |c| wifi(c).channel = Some(14),
        |c| wifi(c).bssid = Some([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ]);
    refused(&[
        (|c| wifi(c).ssid.clear(), "wifi.ssid is 0 bytes: must be 1-32 bytes"),
        (|c| wifi(c).ssid = vec![b'x'; 33], "wifi.ssid is 33 bytes: must be 1-32 bytes"),
        (
            |c| wifi(c).passphrase = Some(Passphrase::Text(Secret::new("hunter2".into()))),
            "wifi.passphrase is 7 bytes: must be 8-63 printable ASCII characters or 64 hex digits",
        ),
        (
            |c| wifi(c).passphrase = Some(Passphrase::Text(Secret::new("x".repeat(64)))),
            "wifi.passphrase is 64 bytes: must be 8-63 printable ASCII characters or 64 hex digits",
        ),
        (
            |c| wifi(c).passphrase = Some(Passphrase::Text(Secret::new("schlüssel".into()))),
            "wifi.passphrase is not printable ASCII: must be 8-63 printable ASCII characters or 64 hex digits",
        ),
        (|c| wifi(c).channel = Some(0), "wifi.channel is 0: must be 1-14"),
        (|c| wifi(c).channel = Some(15), "wifi.channel is 15: must be 1-14"),
        (
            |c| wifi(c).bssid = Some([0; 6]),
            "wifi.bssid is 00:00:00:00:00:00: must be the address of one station",
        ),
        (
            |c| wifi(c).bssid = Some([0x01, 0, 0x5E, 0, 0, 0xFB]),
            "wifi.bssid is 01:00:5e:00:00:fb: must be the address of one station",
        ),
    ]);
}

#[test]
fn fixed_address() {
    // The sample's virtual address is in the sample's network.
    accepted(&[
        |c| *ipv4(c) = FixedIpv4::new([192, 168, 1, 1], 24, [192, 168, 1, 254]),
        |c| *ipv4(c) = FixedIpv4::new([191, 255, 255, 254], 1, [192, 0, 0, 1]),
        |c| {
            *ipv4(c) = FixedIpv4::new([192, 168, 1, 1], 30, [192, 168, 1, 2]);
            cluster(c).virtual_ipv4 = None;
        },
        |c| ipv4(c).dns = None,
    ]);
    let host = "must be the address of a host, neither the network's own nor its broadcast address";
    let address = |address: &str| format!("wifi.ipv4.address is {address}: {host}");
    refused(&[
        (|c| ipv4(c).prefix = 0, "wifi.ipv4.prefix is 0: must be 1-30"),
        (|c| ipv4(c).prefix = 31, "wifi.ipv4.prefix is 31: must be 1-30"),
        (|c| ipv4(c).address = [192, 168, 1, 0], &address("192.168.1.0")),
        (|c| ipv4(c).address = [192, 168, 1, 255], &address("192.168.1.255")),
        (|c| ipv4(c).address = [0, 0, 0, 1], &address("0.0.0.1")),
        (|c| ipv4(c).address = [127, 0, 0, 1], &address("127.0.0.1")),
        (|c| ipv4(c).address = [224, 0, 0, 1], &address("224.0.0.1")),
        (
            |c| ipv4(c).gateway = [192, 168, 2, 1],
            "wifi.ipv4.gateway is 192.168.2.1: must be another host in 192.168.1.0/24",
        ),
        (
            |c| ipv4(c).gateway = [192, 168, 1, 20],
            "wifi.ipv4.gateway is 192.168.1.20: must be another host in 192.168.1.0/24",
        ),
        (
            |c| ipv4(c).gateway = [192, 168, 1, 255],
            "wifi.ipv4.gateway is 192.168.1.255: must be another host in 192.168.1.0/24",
        ),
        (|c| ipv4(c).dns = Some([0; 4]), "wifi.ipv4.dns is 0.0.0.0: must be the address of a host"),
    ]);
}

#[test]
fn access_point() {
    accepted(&[
        |c| c.access_point.ssid = None,
        |c| c.access_point.ssid = Some(vec![0; 32]),
        |c| c.access_point.passphrase = None,
        |c| c.access_point.passphrase = Some(Secret::new("x".repeat(63))),
        |c| c.access_point.policy = AccessPointPolicy::Never,
    ]);
    refused(&[
        (|c| c.access_point.ssid = Some(vec![]), "access_point.ssid is 0 bytes: must be 1-32 bytes"),
        (|c| c.access_point.ssid = Some(vec![0; 33]), "access_point.ssid is 33 bytes: must be 1-32 bytes"),
        (
            |c| c.access_point.passphrase = Some(Secret::new("1234567".into())),
            "access_point.passphrase is 7 bytes: must be 8-63 printable ASCII characters",
        ),
        (
            |c| c.access_point.passphrase = Some(Secret::new("0".repeat(64))),
            "access_point.passphrase is 64 bytes: must be 8-63 printable ASCII characters",
        ),
        (
            |c| {
                c.wifi = None;
                c.access_point.policy = AccessPointPolicy::Never;
            },
            "access_point.policy is never: must be fallback or always without wifi",
        ),
    ]);
}

#[test]
fn broker_and_users() {
    fn users(config: &mut Config, count: usize) {
        config.broker.users =
            (0..count).map(|index| User::new(format!("user{index}"), hash(101, 12))).collect();
    }
    accepted(&[
        |c| c.broker.mqtt_port = 0,
        |c| (c.broker.mqtt_port, c.broker.websocket_port) = (0, 0),
        |c| (c.broker.mqtt_port, c.broker.websocket_port) = (65_535, 1),
        |c| users(c, 0),
        |c| users(c, 16),
        |c| c.broker.users[0].name = "ä".repeat(32),
        |c| c.broker.users[0].password = hash(1, 8),
        |c| c.broker.users[0].password = hash(1000, 64),
    ]);
    let name = "must be 1-64 bytes without ':' or control characters";
    refused(&[
        (
            |c| (c.broker.mqtt_port, c.broker.websocket_port) = (1883, 1883),
            "broker.websocket_port is 1883: must be different from mqtt_port",
        ),
        (|c| users(c, 17), "broker.users is 17 entries: must be at most 16 entries"),
        (|c| c.broker.users[1].name.clear(), &format!("broker.users[1].name is \"\": {name}")),
        (|c| c.broker.users[1].name = "x".repeat(65), &format!("broker.users[1].name is 65 bytes: {name}")),
        (|c| c.broker.users[0].name = "a:b".into(), &format!("broker.users[0].name is \"a:b\": {name}")),
        (|c| c.broker.users[0].name = "a\nb".into(), &format!("broker.users[0].name is \"a\\nb\": {name}")),
        (
            |c| c.broker.users[1].name = "ann".into(),
            "broker.users[1].name is \"ann\": must be different from users[0].name",
        ),
        (
            |c| c.broker.users[0].password = hash(0, 8),
            "broker.users[0].password.iterations is 0: must be 1-1000",
        ),
        (
            |c| c.broker.users[0].password = hash(1001, 8),
            "broker.users[0].password.iterations is 1001: must be 1-1000",
        ),
        (
            |c| c.broker.users[0].password = hash(1, 7),
            "broker.users[0].password.salt is 7 bytes: must be 8-64 bytes",
        ),
        (
            |c| c.broker.users[0].password = hash(1, 65),
            "broker.users[0].password.salt is 65 bytes: must be 8-64 bytes",
        ),
    ]);
}

#[test]
fn permissions() {
    fn count(count: usize) -> Vec<Permission> {
        vec![Permission::new("t", Access::Read); count]
    }
    fn pattern(config: &mut Config, pattern: &str) {
        config.broker.users[1].permissions[1].pattern = pattern.into();
    }
    accepted(&[
        |c| c.broker.users[0].permissions = count(0),
        |c| c.broker.users[0].permissions = count(16),
        |c| c.broker.anonymous_permissions = count(0),
        |c| c.broker.anonymous_permissions = count(16),
        |c| pattern(c, &"p".repeat(128)),
        |c| pattern(c, "#"),
        |c| pattern(c, "/"),
        |c| pattern(c, "%u"),
        |c| pattern(c, "house/x%u-%c/+/%c%c/%/#"),
        |c| pattern(c, "$SYS/#"),
        |c| c.broker.sys_interval = 0,
        |c| c.broker.sys_interval = u16::MAX,
    ]);
    let filter = "must be a topic filter of 1-128 bytes";
    let field = "broker.users[1].permissions[1].pattern";
    refused(&[
        (
            |c| c.broker.users[1].permissions = count(17),
            "broker.users[1].permissions is 17 entries: must be at most 16 entries",
        ),
        (
            |c| c.broker.anonymous_permissions = count(17),
            "broker.anonymous_permissions is 17 entries: must be at most 16 entries",
        ),
        (
            |c| c.broker.anonymous_permissions[0].pattern = "a#".into(),
            &format!("broker.anonymous_permissions[0].pattern is \"a#\": {filter}"),
        ),
        (|c| pattern(c, ""), &format!("{field} is \"\": {filter}")),
        (|c| pattern(c, &"p".repeat(129)), &format!("{field} is 129 bytes: {filter}")),
        (|c| pattern(c, "a/#/b"), &format!("{field} is \"a/#/b\": {filter}")),
        (|c| pattern(c, "%u+"), &format!("{field} is \"%u+\": {filter}")),
        (|c| pattern(c, "%c#"), &format!("{field} is \"%c#\": {filter}")),
        (|c| pattern(c, "a\0"), &format!("{field} is \"a\\0\": {filter}")),
    ]);
}

#[test]
fn limits() {
    accepted(&[
        |c| c.broker.limits.clients = 1,
        |c| c.broker.limits.clients = 128,
        |c| c.broker.limits.subscriptions_per_client = 1,
        |c| c.broker.limits.subscriptions_per_client = 64,
        |c| c.broker.limits.retained_messages = 0,
        |c| c.broker.limits.retained_messages = 1024,
        |c| c.broker.limits.retained_bytes = 0,
        |c| c.broker.limits.retained_bytes = 65_535,
        |c| c.broker.limits.packet_size = 128,
        |c| c.broker.limits.packet_size = 65_535,
        |c| c.broker.limits.queue_bytes = 256,
        |c| c.broker.limits.queue_bytes = 65_535,
        |c| c.broker.limits.sessions = 0,
        |c| c.broker.limits.sessions = 128,
        |c| c.broker.limits.queue_messages = 1,
        |c| c.broker.limits.queue_messages = 1000,
    ]);
    refused(&[
        (|c| c.broker.limits.clients = 0, "broker.limits.clients is 0: must be 1-128"),
        (|c| c.broker.limits.clients = 129, "broker.limits.clients is 129: must be 1-128"),
        (
            |c| c.broker.limits.subscriptions_per_client = 0,
            "broker.limits.subscriptions_per_client is 0: must be 1-64",
        ),
        (
            |c| c.broker.limits.subscriptions_per_client = 65,
            "broker.limits.subscriptions_per_client is 65: must be 1-64",
        ),
        (
            |c| c.broker.limits.retained_messages = 1025,
            "broker.limits.retained_messages is 1025: must be 0-1024",
        ),
        (
            |c| c.broker.limits.retained_bytes = 65_536,
            "broker.limits.retained_bytes is 65536: must be 0-65535",
        ),
        (|c| c.broker.limits.packet_size = 127, "broker.limits.packet_size is 127: must be 128-65535"),
        (|c| c.broker.limits.packet_size = 65_536, "broker.limits.packet_size is 65536: must be 128-65535"),
        (|c| c.broker.limits.queue_bytes = 255, "broker.limits.queue_bytes is 255: must be 256-65535"),
        (|c| c.broker.limits.queue_bytes = 65_536, "broker.limits.queue_bytes is 65536: must be 256-65535"),
        (|c| c.broker.limits.sessions = 129, "broker.limits.sessions is 129: must be 0-128"),
        (|c| c.broker.limits.queue_messages = 0, "broker.limits.queue_messages is 0: must be 1-1000"),
        (|c| c.broker.limits.queue_messages = 1001, "broker.limits.queue_messages is 1001: must be 1-1000"),
    ]);
}

#[test]
fn bridges() {
    fn count(config: &mut Config, count: usize) {
        config.bridges = (0..count).map(|index| Bridge::new(format!("b{index}"), "host")).collect();
    }
    accepted(&[
        |c| count(c, 0),
        |c| count(c, 4),
        |c| c.bridges[0].name = "a_b-9".into(),
        |c| c.bridges[0].host = "h".repeat(253),
        |c| c.bridges[0].port = 1,
        |c| c.bridges[0].port = 65_535,
        |c| c.bridges[0].user = Some("u".repeat(128)),
        |c| c.bridges[0].password = Some(Secret::new("p".repeat(256))),
        |c| c.bridges[0].password = None,
        |c| c.bridges[0].client_id = Some("i".repeat(64)),
        |c| c.bridges[0].client_id = None,
        |c| c.bridges[0].keep_alive = 5,
        |c| c.bridges[0].keep_alive = 65_535,
    ]);
    let name = "must be 1-32 characters a-z, 0-9, - or _";
    let host = "must be a host name or IPv4 address of 1-253 bytes";
    refused(&[
        (|c| count(c, 5), "bridges is 5 entries: must be at most 4 entries"),
        (|c| c.bridges[1].name.clear(), &format!("bridges[1].name is \"\": {name}")),
        (
            |c| c.bridges[1].name = "x".repeat(33),
            &format!("bridges[1].name is \"{}\": {name}", "x".repeat(33)),
        ),
        (|c| c.bridges[1].name = "a.b".into(), &format!("bridges[1].name is \"a.b\": {name}")),
        (
            |c| c.bridges[1].name = "cloud".into(),
            "bridges[1].name is \"cloud\": must be different from bridges[0].name",
        ),
        (|c| c.bridges[0].host.clear(), &format!("bridges[0].host is \"\": {host}")),
        (|c| c.bridges[0].host = "h".repeat(254), &format!("bridges[0].host is 254 bytes: {host}")),
        (|c| c.bridges[0].host = "mqtt://h".into(), &format!("bridges[0].host is \"mqtt://h\": {host}")),
        (|c| c.bridges[1].port = 0, "bridges[1].port is 0: must be 1-65535"),
        (
            |c| c.bridges[0].user = Some("u".repeat(129)),
            "bridges[0].user is 129 bytes: must be at most 128 bytes without NUL",
        ),
        (
            |c| c.bridges[0].user = Some("\0".into()),
            "bridges[0].user is \"\\0\": must be at most 128 bytes without NUL",
        ),
        (
            |c| c.bridges[0].password = Some(Secret::new("p".repeat(257))),
            "bridges[0].password is 257 bytes: must be 0-256 bytes",
        ),
        (|c| c.bridges[0].user = None, "bridges[0].password is given: must be left out without a user"),
        (
            |c| c.bridges[0].client_id = Some(String::new()),
            "bridges[0].client_id is \"\": must be 1-64 bytes without NUL",
        ),
        (
            |c| c.bridges[0].client_id = Some("i".repeat(65)),
            "bridges[0].client_id is 65 bytes: must be 1-64 bytes without NUL",
        ),
        (|c| c.bridges[0].keep_alive = 4, "bridges[0].keep_alive is 4: must be 5-65535"),
    ]);
}

#[test]
fn bridge_notifications_and_restarts() {
    fn topic(config: &mut Config, topic: &str) {
        config.bridges[1].notification_topic = Some(topic.into());
    }
    fn restart(config: &mut Config, base: u16, cap: u16) {
        (config.bridges[1].restart_base, config.bridges[1].restart_cap) = (base, cap);
    }
    accepted(&[
        |c| c.bridges[1].notification_topic = None,
        |c| c.bridges[1].notifications = false,
        |c| topic(c, &"t".repeat(128)),
        |c| topic(c, "$SYS/broker/connection/cellar/state"),
        |c| topic(c, "bridges/$cellar"),
        |c| restart(c, 1, 1),
        |c| restart(c, 1, 3600),
        |c| restart(c, 3600, 3600),
    ]);
    let name = "must be a topic name of 1-128 bytes, beginning with $ only under $SYS/";
    let field = "bridges[1].notification_topic";
    refused(&[
        (|c| topic(c, ""), &format!("{field} is \"\": {name}")),
        (|c| topic(c, &"t".repeat(129)), &format!("{field} is 129 bytes: {name}")),
        (|c| topic(c, "a/+"), &format!("{field} is \"a/+\": {name}")),
        (|c| topic(c, "a/#"), &format!("{field} is \"a/#\": {name}")),
        (|c| topic(c, "a\0"), &format!("{field} is \"a\\0\": {name}")),
        (|c| topic(c, "$share/a"), &format!("{field} is \"$share/a\": {name}")),
        (|c| topic(c, "$SYS"), &format!("{field} is \"$SYS\": {name}")),
        (|c| restart(c, 0, 30), "bridges[1].restart_base is 0: must be 1-3600"),
        (|c| restart(c, 3601, 3601), "bridges[1].restart_base is 3601: must be 1-3600"),
        (|c| restart(c, 31, 30), "bridges[1].restart_cap is 30: must be 31-3600, at least restart_base"),
        (|c| restart(c, 5, 3601), "bridges[1].restart_cap is 3601: must be 5-3600, at least restart_base"),
    ]);
}

#[test]
fn bridge_topics() {
    fn count(config: &mut Config, count: usize) {
        config.bridges[0].topics = vec![BridgeTopic::new("t", Direction::Both); count];
    }
    accepted(&[
        |c| count(c, 0),
        |c| count(c, 16),
        |c| topic(c).pattern = "t".repeat(128),
        |c| topic(c).pattern = "#".into(),
        |c| topic(c).pattern = "+/a/+/#".into(),
        |c| topic(c).pattern = "/".into(),
        |c| topic(c).pattern.clear(),
        |c| topic(c).qos = 2,
        |c| topic(c).local_prefix = "p".repeat(64),
        |c| topic(c).remote_prefix = "p".repeat(64),
    ]);
    let filter = "must be a topic filter of at most 128 bytes";
    let prefix = "must be at most 64 bytes without wildcards or NUL";
    refused(&[
        (|c| count(c, 17), "bridges[0].topics is 17 entries: must be at most 16 entries"),
        (
            |c| topic(c).pattern = "t".repeat(129),
            &format!("bridges[0].topics[0].pattern is 129 bytes: {filter}"),
        ),
        (
            |c| topic(c).pattern = "a/#/b".into(),
            &format!("bridges[0].topics[0].pattern is \"a/#/b\": {filter}"),
        ),
        (|c| topic(c).pattern = "a#".into(), &format!("bridges[0].topics[0].pattern is \"a#\": {filter}")),
        (
            |c| topic(c).pattern = "a+/b".into(),
            &format!("bridges[0].topics[0].pattern is \"a+/b\": {filter}"),
        ),
        (|c| topic(c).pattern = "a\0".into(), &format!("bridges[0].topics[0].pattern is \"a\\0\": {filter}")),
        (
            |c| c.bridges[0].topics[1].pattern.clear(),
            "bridges[0].topics[1].pattern is \"\": must be a topic filter unless both prefixes are given",
        ),
        (|c| topic(c).qos = 3, "bridges[0].topics[0].qos is 3: must be 0-2"),
        (
            |c| topic(c).local_prefix = "p".repeat(65),
            &format!("bridges[0].topics[0].local_prefix is 65 bytes: {prefix}"),
        ),
        (
            |c| topic(c).remote_prefix = "p".repeat(65),
            &format!("bridges[0].topics[0].remote_prefix is 65 bytes: {prefix}"),
        ),
        (
            |c| topic(c).remote_prefix = "a/+/".into(),
            &format!("bridges[0].topics[0].remote_prefix is \"a/+/\": {prefix}"),
        ),
    ]);
}

#[test]
fn profile_and_pins() {
    fn pins(config: &mut Config, gpios: &[u8]) {
        let pin = |gpio: &u8| Pin { gpio: *gpio, function: PinFunction::Led, inverted: false };
        profile(config).pins = gpios.iter().map(pin).collect();
        config.role = Role::Broker;
    }
    accepted(&[
        |c| profile(c).id = "x".repeat(32),
        |c| pins(c, &[]),
        |c| pins(c, &[0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16]),
    ]);
    refused(&[
        (
            |c| profile(c).id = "Sonoff".into(),
            "profile.id is \"Sonoff\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (|c| pins(c, &[0; 17]), "profile.pins is 17 entries: must be at most 16 entries"),
        (|c| pins(c, &[5, 6]), "profile.pins[1].gpio is 6: must be 0-5 or 12-16"),
        (|c| pins(c, &[11]), "profile.pins[0].gpio is 11: must be 0-5 or 12-16"),
        (|c| pins(c, &[17]), "profile.pins[0].gpio is 17: must be 0-5 or 12-16"),
        (|c| pins(c, &[4, 5, 4]), "profile.pins[2].gpio is 4: must be different from pins[0].gpio"),
    ]);
}

#[test]
fn cluster_membership() {
    accepted(&[
        |c| cluster(c).priority = 0,
        |c| cluster(c).virtual_ipv4 = None,
        |c| {
            wifi(c).ipv4 = None;
            cluster(c).virtual_ipv4 = Some([10, 1, 2, 3]);
        },
    ]);
    let bound = "must be another host in 192.168.1.0/24 than the gateway";
    refused(&[
        (
            |c| cluster(c).name.clear(),
            "cluster.name is \"\": must be 1-32 characters a-z, 0-9 or -, with - inside only",
        ),
        (
            |c| cluster(c).virtual_ipv4 = Some([255; 4]),
            "cluster.virtual_ipv4 is 255.255.255.255: must be the address of a host",
        ),
        (
            |c| cluster(c).virtual_ipv4 = Some([10, 1, 2, 3]),
            &format!("cluster.virtual_ipv4 is 10.1.2.3: {bound}"),
        ),
        (
            |c| cluster(c).virtual_ipv4 = Some([192, 168, 1, 20]),
            &format!("cluster.virtual_ipv4 is 192.168.1.20: {bound}"),
        ),
        (
            |c| cluster(c).virtual_ipv4 = Some([192, 168, 1, 1]),
            &format!("cluster.virtual_ipv4 is 192.168.1.1: {bound}"),
        ),
    ]);
}

#[test]
fn a_plug_has_a_relay_and_a_broker_need_not() {
    fn relays(config: &mut Config, count: u8) {
        let relay = |gpio| Pin { gpio, function: PinFunction::Relay, inverted: false };
        profile(config).pins = (0..count).map(relay).collect();
    }
    accepted(&[
        |c| relays(c, 1),
        |c| relays(c, 4),
        |c| c.role = Role::Plug,
        |c| {
            relays(c, 0);
            c.role = Role::Broker;
        },
    ]);
    refused(&[
        (|c| relays(c, 0), "role is broker-and-plug: must be broker with a profile that has not 1-4 relays"),
        (
            |c| {
                relays(c, 5);
                c.role = Role::Plug;
            },
            "role is plug: must be broker with a profile that has not 1-4 relays",
        ),
        (
            |c| c.profile = None,
            "role is broker-and-plug: must be broker with a profile that has not 1-4 relays",
        ),
    ]);
}
