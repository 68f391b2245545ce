//! What a device is told: name, Wi-Fi, broker, bridges, profile, keys. Plain data; limits are in `validate`.
//!
//! Times are seconds, ports are TCP ports, text is UTF-8 unless a field says "any bytes". Every struct that is a
//! CBOR map keeps the keys it does not know in [`Unknown`], so that an older program never loses what a newer one
//! wrote.

use alloc::{string::String, vec::Vec};

pub use crate::codec::Unknown;
use crate::{secret::Secret, words::words};

/// Most accounts on the broker.
pub const USERS_MAX: usize = 16;
/// Most bridges.
pub const BRIDGES_MAX: usize = 4;
/// Most topics of one bridge.
pub const BRIDGE_TOPICS_MAX: usize = 16;
/// Most permissions of a user, and of clients without one.
pub const PERMISSIONS_MAX: usize = 16;
/// Most relays of a profile, where they are to be switched.
pub const RELAYS_MAX: usize = 4;
/// Most pins of a profile.
pub const PINS_MAX: usize = 16;

/// Everything in the config partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// 1-32 characters `a-z`, `0-9` and, inside, `-`: host name and default client id.
    pub name: String,
    /// What the device does.
    pub role: Role,
    /// The network to join; `None` leaves only the fallback access point.
    pub wifi: Option<Wifi>,
    /// Opened when there is no network to join or the join keeps failing.
    pub access_point: AccessPoint,
    /// The MQTT broker's own settings.
    pub broker: Broker,
    /// Links to other brokers, at most [`BRIDGES_MAX`], with different names.
    pub bridges: Vec<Bridge>,
    /// Board or plug this runs on.
    pub profile: Option<Profile>,
    /// What a plug does by itself.
    pub plug: Plug,
    /// Seals remote changes of this config; made by the host at set-up.
    pub admin_key: Option<Secret<[u8; 32]>>,
    /// Membership in a group of brokers.
    pub cluster: Option<Cluster>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// What the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// MQTT broker.
    Broker,
    /// Switchable plug, for a broker that a bridge leads to.
    Plug,
    /// Both at once.
    BrokerAndPlug,
}

words!(Role { Broker = 1 "broker", Plug = 2 "plug", BrokerAndPlug = 3 "broker-and-plug" });

/// The Wi-Fi network to join as a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wifi {
    /// 1-32 bytes, any bytes (IEEE 802.11 §9.4.2.2).
    pub ssid: Vec<u8>,
    /// `None` joins an open network.
    pub passphrase: Option<Passphrase>,
    /// The network does not announce its name.
    pub hidden: bool,
    /// Join only this access point; no group address. Speeds the join up.
    pub bssid: Option<[u8; 6]>,
    /// 1-14; speeds the join up.
    pub channel: Option<u8>,
    /// Fixed address; `None` asks DHCP.
    pub ipv4: Option<FixedIpv4>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// WPA2 credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// 8-63 printable ASCII characters (IEEE 802.11 annex J.4).
    Text(Secret<String>),
    /// The pairwise master key itself, written as 64 hex digits.
    Key(Secret<[u8; 32]>),
}

/// Fixed IPv4 settings, each address most significant byte first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedIpv4 {
    /// Own address, neither the network's nor its broadcast address.
    pub address: [u8; 4],
    /// 1-30 bits of network prefix.
    pub prefix: u8,
    /// Default gateway, another host of the network.
    pub gateway: [u8; 4],
    /// Name server; `None` uses the gateway.
    pub dns: Option<[u8; 4]>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// The device's own access point, for first contact and for when the network is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// When it is opened.
    pub policy: AccessPointPolicy,
    /// `None` derives `espbroker-` and the last three MAC bytes in hex.
    pub ssid: Option<Vec<u8>>,
    /// `None` is an open access point; 8-63 printable ASCII characters.
    pub passphrase: Option<Secret<String>>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// When the access point is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessPointPolicy {
    /// When there is no network to join, or the join has failed for a minute.
    Fallback,
    /// Always, beside the station.
    Always,
    /// Never; needs a network to join, and a wrong passphrase then needs the serial cable.
    Never,
}

words!(AccessPointPolicy { Fallback = 1 "fallback", Always = 2 "always", Never = 3 "never" });

/// The broker's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// MQTT over TCP; 0 turns it off. Default 1883.
    pub mqtt_port: u16,
    /// MQTT over WebSocket; 0 turns it off, and else it is another port than the one above. Default 0.
    pub websocket_port: u16,
    /// May clients connect without a user name. Default no.
    pub anonymous: Anonymous,
    /// What clients without an account may do, at most [`PERMISSIONS_MAX`]. Empty, the default: everything.
    pub anonymous_permissions: Vec<Permission>,
    /// At most [`USERS_MAX`], with different names.
    pub users: Vec<User>,
    /// Seconds between two reports under `$SYS`; 0 publishes none. Default 10.
    pub sys_interval: u16,
    /// Bounds on what clients may hold.
    pub limits: Limits,
    /// Newer fields.
    pub unknown: Unknown,
}

/// What a client without a user name may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Refused with CONNACK 5.
    Refused,
    /// May do what `anonymous_permissions` say.
    Allowed,
}

words!(Anonymous { Refused = 1 "refused", Allowed = 2 "allowed" });

/// An account on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// 1-64 bytes without `:` and control characters (mosquitto's password file separates with them).
    pub name: String,
    /// Salted hash of the password.
    pub password: PasswordHash,
    /// What the user may do, at most [`PERMISSIONS_MAX`]. Empty, the default: everything.
    pub permissions: Vec<Permission>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// What a client may do with the topics that a pattern covers. A list with entries allows nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Topic filter, 1-128 bytes. `%u` stands for the user name and `%c` for the client id, as in mosquitto's
    /// patterns, and both may be a part of a level.
    pub pattern: String,
    /// What it allows there.
    pub access: Access,
    /// Newer fields.
    pub unknown: Unknown,
}

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To subscribe and to receive.
    Read,
    /// To publish.
    Write,
    /// Both.
    ReadWrite,
    /// Neither, also where another entry of the list allows it.
    Deny,
}

words!(Access { Read = 1 "read", Write = 2 "write", ReadWrite = 3 "readwrite", Deny = 4 "deny" });

/// PBKDF2-HMAC-SHA512 of a password, as in mosquitto's `$7$<iterations>$<salt>$<hash>`.
///
/// Text form and verification are in `password`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// 1-1,000; mosquitto writes 101 (1.6 and 2.0) or 1,000 (2.1). Each costs two SHA-512 blocks per log-in.
    pub iterations: u32,
    /// 8-64 bytes; mosquitto writes 12 (1.6 and 2.0) or 64 (2.1).
    pub salt: Vec<u8>,
    /// 64 bytes.
    pub hash: [u8; 64],
}

/// Bounds on what clients may hold on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, 1-128. Default 32.
    pub clients: u16,
    /// Subscriptions of one client, 1-64. Default 16.
    pub subscriptions_per_client: u16,
    /// Retained messages, 0-1024. Default 64.
    pub retained_messages: u16,
    /// Bytes of all retained topics and payloads, 0-65,535. Default 8,192.
    pub retained_bytes: u32,
    /// Largest control packet taken from a client, bytes, 128-65,535. Default 4,096.
    pub packet_size: u32,
    /// Bytes waiting for one slow client before messages to it are dropped, 256-65,535. Default 4,096.
    pub queue_bytes: u32,
    /// Sessions kept for clients that are away, 0-128. Default 16.
    pub sessions: u16,
    /// Messages waiting for one client, also one that is away, 1-1,000. Default 100.
    pub queue_messages: u16,
    /// Newer fields.
    pub unknown: Unknown,
}

/// A link to another broker, in mosquitto's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Connection name, 1-32 characters `a-z`, `0-9`, `-`, `_`; unique.
    pub name: String,
    /// Host name or IPv4 address, 1-253 characters `a-z`, `A-Z`, `0-9`, `.`, `-`, `_`.
    pub host: String,
    /// 1-65,535. Default 1883, 8883 with TLS.
    pub port: u16,
    /// Encrypt the link.
    pub tls: bool,
    /// Remote user name, at most 128 bytes.
    pub user: Option<String>,
    /// Remote password, at most 256 bytes; needs a user.
    pub password: Option<Secret<String>>,
    /// 1-64 bytes; `None` is `<device name>.<bridge name>`.
    pub client_id: Option<String>,
    /// Seconds, 5-65,535. Default 60.
    pub keep_alive: u16,
    /// Let the remote broker forget subscriptions and waiting messages when the link is lost. Default no.
    pub clean_session: bool,
    /// Tell the remote broker that this is a bridge, by the highest bit of the protocol level, so that it sends
    /// nothing back; some brokers refuse that, and are asked again without. Default yes.
    pub try_private: bool,
    /// Publish the state of the link, 1 or 0 and retained, on `notification_topic`. Default yes.
    pub notifications: bool,
    /// Topic name, 1-128 bytes, beginning with `$` only under `$SYS/`; `None` is
    /// `$SYS/broker/connection/<client id>/state`.
    pub notification_topic: Option<String>,
    /// Publish the state here only, not on the remote broker too. Default no.
    pub notifications_local_only: bool,
    /// Keep the retain flag of messages that go out; some brokers take none. Default yes.
    pub outgoing_retain: bool,
    /// Seconds before a lost link is tried again for the first time, 1-3,600; waits get longer from there on.
    /// Default 5.
    pub restart_base: u16,
    /// Longest such wait, seconds, `restart_base`-3,600. Default 30.
    pub restart_cap: u16,
    /// At most [`BRIDGE_TOPICS_MAX`].
    pub topics: Vec<BridgeTopic>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// One `topic` line of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeTopic {
    /// Topic filter without prefix, at most 128 bytes; empty maps the prefixes, which must be given then, one to one.
    pub pattern: String,
    /// Which way messages go.
    pub direction: Direction,
    /// 0-2.
    pub qos: u8,
    /// Put before topics on the local side, at most 64 bytes without wildcards.
    pub local_prefix: String,
    /// Put before topics on the remote side, at most 64 bytes without wildcards.
    pub remote_prefix: String,
    /// Newer fields.
    pub unknown: Unknown,
}

/// Which way a bridge topic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From here to the remote broker.
    Out,
    /// From the remote broker to here.
    In,
    /// Both ways.
    Both,
}

words!(Direction { Out = 1 "out", In = 2 "in", Both = 3 "both" });

/// Which board this is and how its pins are used: the resolved form of a file in `profiles/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// File name without `.toml`, 1-32 characters `a-z`, `0-9` and, inside, `-`.
    pub id: String,
    /// At most [`PINS_MAX`], each GPIO once.
    pub pins: Vec<Pin>,
    /// Newer fields.
    pub unknown: Unknown,
}

/// One pin with a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// GPIO number, 0-5 or 12-16 (6-11 belong to the flash).
    pub gpio: u8,
    /// What hangs on it.
    pub function: PinFunction,
    /// Active low.
    pub inverted: bool,
}

/// What hangs on a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinFunction {
    /// Push button to ground.
    Button,
    /// Latching wall switch.
    Switch,
    /// Relay coil.
    Relay,
    /// Status LED.
    Led,
    /// LED that shows the relay.
    RelayLed,
    /// HLW8012/BL0937 power pulses.
    MeterCf,
    /// HLW8012/BL0937 voltage or current pulses.
    MeterCf1,
    /// HLW8012/BL0937 selector.
    MeterSel,
    /// CSE7766 serial data.
    MeterRx,
}

words!(PinFunction {
   Button = 1 "button",
   Switch = 2 "switch",
   Relay = 3 "relay",
   Led = 4 "led",
   RelayLed = 5 "relay-led",
   MeterCf = 6 "meter-cf",
   MeterCf1 = 7 "meter-cf1",
   MeterSel = 8 "meter-sel",
   MeterRx = 9 "meter-rx",
});

/// What a plug does by itself. Of no effect while the device is a broker only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The relays when power comes. A restart without a loss of power leaves them as they are. Default `last`.
    pub power_on: PowerOn,
    /// What the status LED shows. Default `status`.
    pub led: LedUse,
    /// Newer fields.
    pub unknown: Unknown,
}

/// The relays of a plug when power comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOn {
    /// All off.
    Off,
    /// All on.
    On,
    /// As they were two seconds before the power went.
    Last,
}

words!(PowerOn { Off = 1 "off", On = 2 "on", Last = 3 "last" });

/// What the status LED shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedUse {
    /// Lit while the device is on its network, blinking while it is not.
    Status,
    /// Nothing: it stays dark.
    Off,
}

words!(LedUse { Status = 1 "status", Off = 2 "off" });

/// Membership in a group of brokers; at most 8 members share one virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// 1-32 characters `a-z`, `0-9` and, inside, `-`.
    pub name: String,
    /// Authenticates members to each other.
    pub key: Secret<[u8; 32]>,
    /// Higher wins the virtual address, 0-255.
    pub priority: u8,
    /// The shared address; no member's own.
    pub virtual_ipv4: Option<[u8; 4]>,
    /// Newer fields.
    pub unknown: Unknown,
}

impl core::fmt::Debug for PasswordHash {
    // A salted hash of a short password can be guessed offline, so it is treated as a secret too.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("PasswordHash(****)")
    }
}
