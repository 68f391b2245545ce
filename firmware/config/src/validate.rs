//! The limits of a config: what a device can hold, and what the standards it speaks allow.
//!
//! Neither `codec` nor `slots` look at these, so that a config with one wrong field can still be read, shown and
//! repaired. A passphrase, password or key never gets into an [`Invalid`].

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
};
use core::{fmt, net::Ipv4Addr, ops::RangeInclusive};

use crate::{
    model::{
        AccessPoint, AccessPointPolicy, BRIDGE_TOPICS_MAX, BRIDGES_MAX, Bridge, BridgeTopic, Broker, Cluster,
        Config, FixedIpv4, Limits, PERMISSIONS_MAX, PINS_MAX, Passphrase, Permission, PinFunction, Profile,
        RELAYS_MAX, Role, USERS_MAX, User, Wifi,
    },
    password::{ITERATIONS_MAX, SALT_MAX, SALT_MIN},
    wifi::{PassphraseError, SSID_MAX, check_passphrase},
};

/// A field that is outside its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path from the top of the config, like `bridges[1].topics[0].qos`.
    pub field: String,
    /// What is there; of a secret only what is wrong with it, like its length.
    pub value: String,
    /// What must be there.
    pub bound: Cow<'static, str>,
}

/// For example `bridges[1].port is 0: must be 1-65535`.
impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}: must be {}", self.field, self.value, self.bound)
    }
}

impl core::error::Error for Invalid {}

type Outcome = Result<(), Invalid>;

impl Config {
    /// Checks every limit, in the order of the fields.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for the first field that is outside its bound.
    pub fn validate(&self) -> Outcome {
        label("name", &self.name)?;
        if let Some(wifi) = &self.wifi {
            wifi.validate().map_err(|invalid| invalid.under("wifi"))?;
        }
        self.access_point.validate().map_err(|invalid| invalid.under("access_point"))?;
        if self.wifi.is_none() && self.access_point.policy == AccessPointPolicy::Never {
            let policy = self.access_point.policy;
            return Err(invalid("access_point.policy", &policy, "fallback or always without wifi"));
        }
        self.broker.validate().map_err(|invalid| invalid.under("broker"))?;
        each("bridges", &self.bridges, BRIDGES_MAX, Bridge::validate)?;
        unique("bridges", "name", &self.bridges, |bridge| &bridge.name)?;
        if let Some(profile) = &self.profile {
            profile.validate().map_err(|invalid| invalid.under("profile"))?;
        }
        let pins = self.profile.iter().flat_map(|profile| &profile.pins);
        let relays = pins.filter(|pin| pin.function == PinFunction::Relay).count();
        if self.role != Role::Broker && !(1..=RELAYS_MAX).contains(&relays) {
            let bound = format!("broker with a profile that has not 1-{RELAYS_MAX} relays");
            return Err(invalid("role", &self.role, bound));
        }
        if let Some(cluster) = &self.cluster {
            let ipv4 = self.wifi.as_ref().and_then(|wifi| wifi.ipv4.as_ref());
            cluster.validate(ipv4).map_err(|invalid| invalid.under("cluster"))?;
        }
        Ok(())
    }
}

impl Wifi {
    fn validate(&self) -> Outcome {
        ssid("ssid", &self.ssid)?;
        if let Some(Passphrase::Text(text)) = &self.passphrase {
            passphrase(text.expose(), "8-63 printable ASCII characters or 64 hex digits")?;
        }
        if let Some(bssid @ [first, rest @ ..]) = self.bssid {
            // Bit 0 of the first byte marks a group address (IEEE 802 §8.2.2).
            if first & 1 == 1 || (first == 0 && rest == [0; 5]) {
                let [a, b, c, d, e, f] = bssid;
                let shown = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                return Err(invalid("bssid", &shown, "the address of one station"));
            }
        }
        if let Some(channel) = self.channel {
            range("channel", channel, 1..=14)?;
        }
        self.ipv4.as_ref().map_or(Ok(()), FixedIpv4::validate).map_err(|invalid| invalid.under("ipv4"))
    }
}

impl FixedIpv4 {
    fn validate(&self) -> Outcome {
        range("prefix", self.prefix, 1..=30)?;
        if !is_host(self.address) || !self.contains_host(self.address) {
            let bound = "the address of a host, neither the network's own nor its broadcast address";
            return Err(invalid("address", &Ipv4Addr::from(self.address), bound));
        }
        if !self.contains_host(self.gateway) || self.gateway == self.address {
            return Err(invalid("gateway", &Ipv4Addr::from(self.gateway), self.other_hosts()));
        }
        match self.dns {
            Some(dns) if !is_host(dns) => Err(invalid("dns", &Ipv4Addr::from(dns), HOST)),
            _ => Ok(()),
        }
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    /// Whether `address` is in the network and neither all zeros nor all ones behind the prefix (RFC 1122 §3.2.1.3).
    fn contains_host(&self, address: [u8; 4]) -> bool {
        let (own, other, mask) = (u32::from_be_bytes(self.address), u32::from_be_bytes(address), self.mask());
        own & mask == other & mask && other & !mask != 0 && other | mask != u32::MAX
    }

    fn other_hosts(&self) -> String {
        let network = Ipv4Addr::from(u32::from_be_bytes(self.address) & self.mask());
        format!("another host in {network}/{}", self.prefix)
    }
}

const HOST: &str = "the address of a host";

/// Whether one host can have this address: not "this network", loopback, multicast or reserved (RFC 6890).
fn is_host([first, ..]: [u8; 4]) -> bool {
    matches!(first, 1..=126 | 128..=223)
}

impl AccessPoint {
    fn validate(&self) -> Outcome {
        self.ssid.as_ref().map_or(Ok(()), |name| ssid("ssid", name))?;
        let check = |text: &str| passphrase(text, "8-63 printable ASCII characters");
        self.passphrase.as_ref().map_or(Ok(()), |text| check(text.expose()))
    }
}

impl Broker {
    fn validate(&self) -> Outcome {
        if self.mqtt_port != 0 && self.mqtt_port == self.websocket_port {
            return Err(invalid("websocket_port", &self.websocket_port, "different from mqtt_port"));
        }
        permissions("anonymous_permissions", &self.anonymous_permissions)?;
        each("users", &self.users, USERS_MAX, User::validate)?;
        unique("users", "name", &self.users, |user| &user.name)?;
        self.limits.validate().map_err(|invalid| invalid.under("limits"))
    }
}

impl User {
    fn validate(&self) -> Outcome {
        // A line break or a colon would end the name in mosquitto's password file.
        let fits = |character: char| character != ':' && !character.is_control();
        text("name", &self.name, 1..=64, fits, "1-64 bytes without ':' or control characters")?;
        range("password.iterations", self.password.iterations, 1..=ITERATIONS_MAX)?;
        length("password.salt", self.password.salt.len(), SALT_MIN..=SALT_MAX)?;
        permissions("permissions", &self.permissions)
    }
}

fn permissions(field: &str, permissions: &[Permission]) -> Outcome {
    each(field, permissions, PERMISSIONS_MAX, Permission::validate)
}

impl Permission {
    fn validate(&self) -> Outcome {
        match self.pattern.len() {
            // `%u` and `%c` are letters like any others to the rules of a filter.
            1..=128 if is_filter(&self.pattern) => Ok(()),
            _ => Err(invalid("pattern", &shown(&self.pattern), "a topic filter of 1-128 bytes")),
        }
    }
}

impl Limits {
    fn validate(&self) -> Outcome {
        range("clients", self.clients, 1..=128)?;
        range("subscriptions_per_client", self.subscriptions_per_client, 1..=64)?;
        range("retained_messages", self.retained_messages, 0..=1024)?;
        range("retained_bytes", self.retained_bytes, 0..=65_535)?;
        range("packet_size", self.packet_size, 128..=65_535)?;
        range("queue_bytes", self.queue_bytes, 256..=65_535)?;
        range("sessions", self.sessions, 0..=128)?;
        range("queue_messages", self.queue_messages, 1..=1000)
    }
}

impl Bridge {
    fn validate(&self) -> Outcome {
        let name = |character| matches!(character, 'a'..='z' | '0'..='9' | '-' | '_');
        text("name", &self.name, 1..=32, name, "1-32 characters a-z, 0-9, - or _")?;
        let host =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
        text("host", &self.host, 1..=253, host, "a host name or IPv4 address of 1-253 bytes")?;
        range("port", self.port, 1..=u16::MAX)?;
        if let Some(user) = &self.user {
            text("user", user, 0..=128, is_mqtt, "at most 128 bytes without NUL")?;
        }
        if let Some(password) = &self.password {
            length("password", password.expose().len(), 0..=256)?;
            // MQTT 3.1.1 §3.1.2.9 [MQTT-3.1.2-22].
            if self.user.is_none() {
                return Err(invalid("password", &"given", "left out without a user"));
            }
        }
        if let Some(client_id) = &self.client_id {
            text("client_id", client_id, 1..=64, is_mqtt, "1-64 bytes without NUL")?;
        }
        range("keep_alive", self.keep_alive, 5..=u16::MAX)?;
        if let Some(topic) = &self.notification_topic {
            let bound = "a topic name of 1-128 bytes, beginning with $ only under $SYS/";
            text("notification_topic", topic, 1..=128, is_name, bound)?;
            // Other `$` topics are not for applications (MQTT 3.1.1 §4.7.2).
            if topic.starts_with('$') && !topic.starts_with("$SYS/") {
                return Err(invalid("notification_topic", &shown(topic), bound));
            }
        }
        range("restart_base", self.restart_base, 1..=RESTART_MAX)?;
        if !(self.restart_base..=RESTART_MAX).contains(&self.restart_cap) {
            let bound = format!("{}-{RESTART_MAX}, at least restart_base", self.restart_base);
            return Err(invalid("restart_cap", &self.restart_cap, bound));
        }
        each("topics", &self.topics, BRIDGE_TOPICS_MAX, BridgeTopic::validate)
    }
}

/// Longest wait of a bridge before it tries again, seconds.
const RESTART_MAX: u16 = 3600;

impl BridgeTopic {
    fn validate(&self) -> Outcome {
        if self.pattern.is_empty() {
            if self.local_prefix.is_empty() || self.remote_prefix.is_empty() {
                return Err(invalid(
                    "pattern",
                    &shown(&self.pattern),
                    "a topic filter unless both prefixes are given",
                ));
            }
        } else if self.pattern.len() > 128 || !is_filter(&self.pattern) {
            return Err(invalid("pattern", &shown(&self.pattern), "a topic filter of at most 128 bytes"));
        }
        range("qos", self.qos, 0..=2)?;
        let bound = "at most 64 bytes without wildcards or NUL";
        text("local_prefix", &self.local_prefix, 0..=64, is_name, bound)?;
        text("remote_prefix", &self.remote_prefix, 0..=64, is_name, bound)
    }
}

/// Whether wildcards are where a topic filter may have them (MQTT 3.1.1 §4.7.1) and no NUL is in it (§1.5.3).
fn is_filter(filter: &str) -> bool {
    let levels = filter.split('/').count();
    filter.chars().all(is_mqtt)
        && filter.split('/').enumerate().all(|(index, level)| match level {
            "+" => true,
            "#" => index + 1 == levels,
            _ => !level.contains(['+', '#']),
        })
}

/// Whether a topic name may hold `character` (MQTT 3.1.1 §4.7.1 [MQTT-4.7.1-1]).
fn is_name(character: char) -> bool {
    is_mqtt(character) && !matches!(character, '#' | '+')
}

/// Whether an MQTT string may hold `character` (MQTT 3.1.1 §1.5.3 [MQTT-1.5.3-2]).
fn is_mqtt(character: char) -> bool {
    character != '\0'
}

impl Profile {
    fn validate(&self) -> Outcome {
        label("id", &self.id)?;
        each("pins", &self.pins, PINS_MAX, |pin| match pin.gpio {
            0..=5 | 12..=16 => Ok(()),
            // GPIO 6-11 are wired to the flash.
            gpio => Err(invalid("gpio", &gpio, "0-5 or 12-16")),
        })?;
        unique("pins", "gpio", &self.pins, |pin| &pin.gpio)
    }
}

impl Cluster {
    /// `ipv4` is the device's own fixed address, if it has one.
    fn validate(&self, ipv4: Option<&FixedIpv4>) -> Outcome {
        label("name", &self.name)?;
        let Some(address) = self.virtual_ipv4 else { return Ok(()) };
        let shown = Ipv4Addr::from(address);
        match ipv4 {
            _ if !is_host(address) => Err(invalid("virtual_ipv4", &shown, HOST)),
            Some(own) if !own.contains_host(address) || address == own.address || address == own.gateway => {
                Err(invalid("virtual_ipv4", &shown, own.other_hosts() + " than the gateway"))
            }
            _ => Ok(()),
        }
    }
}

impl Invalid {
    /// Puts the name of the struct that holds the field before its path.
    fn under(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

fn invalid(field: &str, value: &dyn fmt::Display, bound: impl Into<Cow<'static, str>>) -> Invalid {
    Invalid { field: field.into(), value: value.to_string(), bound: bound.into() }
}

fn range<T: PartialOrd + Copy + fmt::Display>(field: &str, value: T, bounds: RangeInclusive<T>) -> Outcome {
    match bounds.contains(&value) {
        true => Ok(()),
        false => Err(invalid(field, &value, format!("{}-{}", bounds.start(), bounds.end()))),
    }
}

fn length(field: &str, length: usize, bounds: RangeInclusive<usize>) -> Outcome {
    match bounds.contains(&length) {
        true => Ok(()),
        false => {
            let bound = format!("{}-{} bytes", bounds.start(), bounds.end());
            Err(invalid(field, &format!("{length} bytes"), bound))
        }
    }
}

fn text(
    field: &str,
    text: &str,
    bounds: RangeInclusive<usize>,
    fits: impl Fn(char) -> bool,
    bound: &'static str,
) -> Outcome {
    match bounds.contains(&text.len()) && text.chars().all(fits) {
        true => Ok(()),
        false => Err(invalid(field, &shown(text), bound)),
    }
}

/// A name that is also a host name (RFC 1123 §2.1).
fn label(field: &str, name: &str) -> Outcome {
    let bound = "1-32 characters a-z, 0-9 or -, with - inside only";
    text(field, name, 1..=32, |character| matches!(character, 'a'..='z' | '0'..='9' | '-'), bound)?;
    match name.starts_with('-') || name.ends_with('-') {
        true => Err(invalid(field, &shown(name), bound)),
        false => Ok(()),
    }
}

fn ssid(field: &str, ssid: &[u8]) -> Outcome {
    length(field, ssid.len(), 1..=SSID_MAX)
}

fn passphrase(text: &str, bound: &'static str) -> Outcome {
    check_passphrase(text).map_err(|error| match error {
        PassphraseError::Length { length } => invalid("passphrase", &format!("{length} bytes"), bound),
        PassphraseError::NotAscii => invalid("passphrase", &"not printable ASCII", bound),
    })
}

/// Text in quotes with everything invisible escaped, or its length if it is long.
fn shown(text: &str) -> String {
    const LONG: usize = 48;
    match text.len() {
        ..=LONG => format!("{text:?}"),
        length => format!("{length} bytes"),
    }
}

/// Checks the number of `entries` and every one of them.
fn each<T>(field: &str, entries: &[T], limit: usize, validate: impl Fn(&T) -> Outcome) -> Outcome {
    if entries.len() > limit {
        return Err(invalid(
            field,
            &format!("{} entries", entries.len()),
            format!("at most {limit} entries"),
        ));
    }
    for (index, entry) in entries.iter().enumerate() {
        validate(entry).map_err(|invalid| invalid.under(&format!("{field}[{index}]")))?;
    }
    Ok(())
}

/// Checks that no two `entries` have the same `key`; the later one is to blame.
fn unique<T, K: PartialEq + fmt::Debug>(
    field: &str,
    key_name: &str,
    entries: &[T],
    key: impl Fn(&T) -> &K,
) -> Outcome {
    for (index, entry) in entries.iter().enumerate() {
        let first = entries.iter().position(|other| key(other) == key(entry));
        if let Some(first) = first.filter(|first| *first < index) {
            let path = format!("{field}[{index}].{key_name}");
            let bound = format!("different from {field}[{first}].{key_name}");
            return Err(invalid(&path, &format!("{:?}", key(entry)), bound));
        }
    }
    Ok(())
}
