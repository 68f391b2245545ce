//! CBOR to [`Config`]: total for any bytes, and never holding much more than the input is long.

use alloc::{string::String, vec::Vec};

use minicbor::{Decoder, data::Type};

use super::{DecodeError, Unknown, absent, keys};
use crate::{
    model::{
        Access, AccessPoint, AccessPointPolicy, Anonymous, BRIDGE_TOPICS_MAX, BRIDGES_MAX, Bridge,
        BridgeTopic, Broker, Cluster, Config, Direction, FixedIpv4, LedUse, Limits, PERMISSIONS_MAX,
        PINS_MAX, Passphrase, PasswordHash, Permission, Pin, PinFunction, Plug, PowerOn, Profile, Role,
        USERS_MAX, User, Wifi,
    },
    secret::Secret,
};

type Input<'b> = Decoder<'b>;

/// The config that `bytes` hold, and nothing else. Its limits are not checked, `validate` does that.
///
/// # Errors
///
/// [`DecodeError`] for anything that is not exactly one config of this format.
pub fn decode(bytes: &[u8]) -> Result<Config, DecodeError> {
    let mut input = Decoder::new(bytes);
    let config = config(&mut input)?;
    match bytes.len().saturating_sub(input.position()) {
        0 => Ok(config),
        length => Err(DecodeError::Trailing { length }),
    }
}

/// Reads a map: `field` takes the value of a key it knows, all others go to `unknown`.
fn map<'b>(
    input: &mut Input<'b>,
    mut field: impl FnMut(u32, &mut Input<'b>) -> Result<Key, DecodeError>,
) -> Result<Unknown, DecodeError> {
    let mut unknown = Unknown::default();
    let mut last = None;
    for _ in 0..length(input, Input::map)? {
        let offset = input.position();
        let key = read(input, Input::u32)?;
        if last.is_some_and(|last| key <= last) {
            return Err(DecodeError::KeyOrder { offset });
        }
        last = Some(key);
        if let Key::Unknown = field(key, input)? {
            unknown.take(input, offset)?;
        }
    }
    Ok(unknown)
}

/// Whether a map's key belongs to a field; the value of an unknown one has not been touched.
enum Key {
    Known,
    Unknown,
}

/// Calls `primitive` and turns the library's error into ours.
fn read<'b, T>(
    input: &mut Input<'b>,
    primitive: impl FnOnce(&mut Input<'b>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, DecodeError> {
    let offset = input.position();
    primitive(input).map_err(|error| match error.is_end_of_input() {
        true => DecodeError::Cut,
        false => DecodeError::Type { offset },
    })
}

/// The definite number of entries of a map or array.
fn length<'b>(
    input: &mut Input<'b>,
    head: impl FnOnce(&mut Input<'b>) -> Result<Option<u64>, minicbor::decode::Error>,
) -> Result<u64, DecodeError> {
    let offset = input.position();
    read(input, head)?.ok_or(DecodeError::Malformed { offset })
}

fn text(input: &mut Input<'_>) -> Result<String, DecodeError> {
    read(input, Input::str).map(String::from)
}

fn bytes(input: &mut Input<'_>) -> Result<Vec<u8>, DecodeError> {
    read(input, Input::bytes).map(Vec::from)
}

fn array<const N: usize>(input: &mut Input<'_>, field: &'static str) -> Result<[u8; N], DecodeError> {
    let bytes = read(input, Input::bytes)?;
    bytes.try_into().map_err(|_| DecodeError::Length { field, expected: N })
}

/// Reads an array of at most `limit` entries. The bound holds the memory down that a small input can ask for.
fn list<T>(
    input: &mut Input<'_>,
    field: &'static str,
    limit: usize,
    entry: impl Fn(&mut Input<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = length(input, Input::array)?;
    if usize::try_from(count).map_or(true, |count| count > limit) {
        return Err(DecodeError::TooMany { field, limit });
    }
    (0..count).map(|_| entry(input)).collect()
}

/// Reads the number of an enum.
fn variant<T>(
    input: &mut Input<'_>,
    field: &'static str,
    from_number: impl FnOnce(u8) -> Option<T>,
) -> Result<T, DecodeError> {
    let number = read(input, Input::u8)?;
    from_number(number).ok_or(DecodeError::Variant { field, number })
}

/// Stores `value` in its place and reports the key as known.
fn set<T>(place: &mut Option<T>, value: T) -> Result<Key, DecodeError> {
    *place = Some(value);
    Ok(Key::Known)
}

/// The value of a key that every version writes.
fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

fn config(input: &mut Input<'_>) -> Result<Config, DecodeError> {
    use keys::config as key;
    let (mut name, mut role, mut wifi_, mut access_point_, mut broker_) = (None, None, None, None, None);
    let (mut bridges, mut profile_, mut admin_key, mut cluster_, mut plug_) = (None, None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::NAME => set(&mut name, text(input)?),
        key::ROLE => set(&mut role, variant(input, "role", Role::from_number)?),
        key::WIFI => set(&mut wifi_, wifi(input)?),
        key::ACCESS_POINT => set(&mut access_point_, access_point(input)?),
        key::BROKER => set(&mut broker_, broker(input)?),
        key::BRIDGES => set(&mut bridges, list(input, "bridges", BRIDGES_MAX, bridge)?),
        key::PROFILE => set(&mut profile_, profile(input)?),
        key::ADMIN_KEY => set(&mut admin_key, Secret::new(array(input, "admin_key")?)),
        key::CLUSTER => set(&mut cluster_, cluster(input)?),
        key::PLUG => set(&mut plug_, plug(input)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Config {
        name: required(name, "name")?,
        role: required(role, "role")?,
        wifi: wifi_,
        access_point: required(access_point_, "access_point")?,
        broker: required(broker_, "broker")?,
        bridges: required(bridges, "bridges")?,
        profile: profile_,
        plug: plug_.unwrap_or_else(absent::plug),
        admin_key,
        cluster: cluster_,
        unknown,
    })
}

fn wifi(input: &mut Input<'_>) -> Result<Wifi, DecodeError> {
    use keys::wifi as key;
    let (mut ssid, mut passphrase_, mut hidden, mut bssid, mut channel, mut ipv4) =
        (None, None, None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::SSID => set(&mut ssid, bytes(input)?),
        key::PASSPHRASE => set(&mut passphrase_, passphrase(input)?),
        key::HIDDEN => set(&mut hidden, read(input, Input::bool)?),
        key::BSSID => set(&mut bssid, array(input, "wifi.bssid")?),
        key::CHANNEL => set(&mut channel, read(input, Input::u8)?),
        key::IPV4 => set(&mut ipv4, fixed_ipv4(input)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Wifi {
        ssid: required(ssid, "wifi.ssid")?,
        passphrase: passphrase_,
        hidden: required(hidden, "wifi.hidden")?,
        bssid,
        channel,
        ipv4,
        unknown,
    })
}

fn passphrase(input: &mut Input<'_>) -> Result<Passphrase, DecodeError> {
    match read(input, |input| input.datatype())? {
        Type::Bytes => Ok(Passphrase::Key(Secret::new(array(input, "wifi.passphrase")?))),
        _ => Ok(Passphrase::Text(Secret::new(text(input)?))),
    }
}

fn fixed_ipv4(input: &mut Input<'_>) -> Result<FixedIpv4, DecodeError> {
    use keys::fixed_ipv4 as key;
    let (mut address, mut prefix, mut gateway, mut dns) = (None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::ADDRESS => set(&mut address, array(input, "wifi.ipv4.address")?),
        key::PREFIX => set(&mut prefix, read(input, Input::u8)?),
        key::GATEWAY => set(&mut gateway, array(input, "wifi.ipv4.gateway")?),
        key::DNS => set(&mut dns, array(input, "wifi.ipv4.dns")?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(FixedIpv4 {
        address: required(address, "wifi.ipv4.address")?,
        prefix: required(prefix, "wifi.ipv4.prefix")?,
        gateway: required(gateway, "wifi.ipv4.gateway")?,
        dns,
        unknown,
    })
}

fn access_point(input: &mut Input<'_>) -> Result<AccessPoint, DecodeError> {
    use keys::access_point as key;
    let (mut policy, mut ssid, mut passphrase) = (None, None, None);
    let unknown = map(input, |number, input| match number {
        key::POLICY => {
            set(&mut policy, variant(input, "access_point.policy", AccessPointPolicy::from_number)?)
        }
        key::SSID => set(&mut ssid, bytes(input)?),
        key::PASSPHRASE => set(&mut passphrase, Secret::new(text(input)?)),
        _ => Ok(Key::Unknown),
    })?;
    Ok(AccessPoint { policy: required(policy, "access_point.policy")?, ssid, passphrase, unknown })
}

fn broker(input: &mut Input<'_>) -> Result<Broker, DecodeError> {
    use keys::broker as key;
    let (mut mqtt_port, mut websocket_port, mut anonymous, mut users, mut limits_) =
        (None, None, None, None, None);
    let (mut anonymous_permissions, mut sys_interval) = (None, None);
    let unknown = map(input, |number, input| match number {
        key::MQTT_PORT => set(&mut mqtt_port, read(input, Input::u16)?),
        key::WEBSOCKET_PORT => set(&mut websocket_port, read(input, Input::u16)?),
        key::ANONYMOUS => set(&mut anonymous, variant(input, "broker.anonymous", Anonymous::from_number)?),
        key::USERS => set(&mut users, list(input, "broker.users", USERS_MAX, user)?),
        key::LIMITS => set(&mut limits_, limits(input)?),
        key::ANONYMOUS_PERMISSIONS => {
            set(&mut anonymous_permissions, permissions(input, "broker.anonymous_permissions")?)
        }
        key::SYS_INTERVAL => set(&mut sys_interval, read(input, Input::u16)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Broker {
        mqtt_port: required(mqtt_port, "broker.mqtt_port")?,
        websocket_port: required(websocket_port, "broker.websocket_port")?,
        anonymous: required(anonymous, "broker.anonymous")?,
        anonymous_permissions: anonymous_permissions.unwrap_or_default(),
        users: required(users, "broker.users")?,
        sys_interval: sys_interval.unwrap_or(absent::broker::SYS_INTERVAL),
        limits: required(limits_, "broker.limits")?,
        unknown,
    })
}

fn user(input: &mut Input<'_>) -> Result<User, DecodeError> {
    use keys::user as key;
    let (mut name, mut iterations, mut salt, mut hash, mut permissions_) = (None, None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::NAME => set(&mut name, text(input)?),
        key::ITERATIONS => set(&mut iterations, read(input, Input::u32)?),
        key::SALT => set(&mut salt, bytes(input)?),
        key::HASH => set(&mut hash, array(input, "broker.users[].hash")?),
        key::PERMISSIONS => set(&mut permissions_, permissions(input, "broker.users[].permissions")?),
        _ => Ok(Key::Unknown),
    })?;
    let password = PasswordHash {
        iterations: required(iterations, "broker.users[].iterations")?,
        salt: required(salt, "broker.users[].salt")?,
        hash: required(hash, "broker.users[].hash")?,
    };
    Ok(User {
        name: required(name, "broker.users[].name")?,
        password,
        permissions: permissions_.unwrap_or_default(),
        unknown,
    })
}

fn permissions(input: &mut Input<'_>, field: &'static str) -> Result<Vec<Permission>, DecodeError> {
    list(input, field, PERMISSIONS_MAX, permission)
}

fn permission(input: &mut Input<'_>) -> Result<Permission, DecodeError> {
    use keys::permission as key;
    let (mut pattern, mut access) = (None, None);
    let unknown = map(input, |number, input| match number {
        key::PATTERN => set(&mut pattern, text(input)?),
        key::ACCESS => set(&mut access, variant(input, "permissions[].access", Access::from_number)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Permission {
        pattern: required(pattern, "permissions[].pattern")?,
        access: required(access, "permissions[].access")?,
        unknown,
    })
}

fn limits(input: &mut Input<'_>) -> Result<Limits, DecodeError> {
    use keys::limits as key;
    let (mut clients, mut subscriptions, mut retained_messages) = (None, None, None);
    let (mut retained_bytes, mut packet_size, mut queue_bytes) = (None, None, None);
    let (mut sessions, mut queue_messages) = (None, None);
    let unknown = map(input, |number, input| match number {
        key::CLIENTS => set(&mut clients, read(input, Input::u16)?),
        key::SUBSCRIPTIONS_PER_CLIENT => set(&mut subscriptions, read(input, Input::u16)?),
        key::RETAINED_MESSAGES => set(&mut retained_messages, read(input, Input::u16)?),
        key::RETAINED_BYTES => set(&mut retained_bytes, read(input, Input::u32)?),
        key::PACKET_SIZE => set(&mut packet_size, read(input, Input::u32)?),
        key::QUEUE_BYTES => set(&mut queue_bytes, read(input, Input::u32)?),
        key::SESSIONS => set(&mut sessions, read(input, Input::u16)?),
        key::QUEUE_MESSAGES => set(&mut queue_messages, read(input, Input::u16)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Limits {
        clients: required(clients, "broker.limits.clients")?,
        subscriptions_per_client: required(subscriptions, "broker.limits.subscriptions_per_client")?,
        retained_messages: required(retained_messages, "broker.limits.retained_messages")?,
        retained_bytes: required(retained_bytes, "broker.limits.retained_bytes")?,
        packet_size: required(packet_size, "broker.limits.packet_size")?,
        queue_bytes: required(queue_bytes, "broker.limits.queue_bytes")?,
        sessions: sessions.unwrap_or(absent::limits::SESSIONS),
        queue_messages: queue_messages.unwrap_or(absent::limits::QUEUE_MESSAGES),
        unknown,
    })
}

fn bridge(input: &mut Input<'_>) -> Result<Bridge, DecodeError> {
    use keys::bridge as key;
    let (mut name, mut host, mut port, mut tls, mut user) = (None, None, None, None, None);
    let (mut password, mut client_id, mut keep_alive, mut notifications, mut topics) =
        (None, None, None, None, None);
    let (mut clean_session, mut try_private, mut notification_topic) = (None, None, None);
    let (mut local_only, mut outgoing_retain, mut restart_base, mut restart_cap) = (None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::NAME => set(&mut name, text(input)?),
        key::HOST => set(&mut host, text(input)?),
        key::PORT => set(&mut port, read(input, Input::u16)?),
        key::TLS => set(&mut tls, read(input, Input::bool)?),
        key::USER => set(&mut user, text(input)?),
        key::PASSWORD => set(&mut password, Secret::new(text(input)?)),
        key::CLIENT_ID => set(&mut client_id, text(input)?),
        key::KEEP_ALIVE => set(&mut keep_alive, read(input, Input::u16)?),
        key::NOTIFICATIONS => set(&mut notifications, read(input, Input::bool)?),
        key::TOPICS => set(&mut topics, list(input, "bridges[].topics", BRIDGE_TOPICS_MAX, bridge_topic)?),
        key::CLEAN_SESSION => set(&mut clean_session, read(input, Input::bool)?),
        key::TRY_PRIVATE => set(&mut try_private, read(input, Input::bool)?),
        key::NOTIFICATION_TOPIC => set(&mut notification_topic, text(input)?),
        key::NOTIFICATIONS_LOCAL_ONLY => set(&mut local_only, read(input, Input::bool)?),
        key::OUTGOING_RETAIN => set(&mut outgoing_retain, read(input, Input::bool)?),
        key::RESTART_BASE => set(&mut restart_base, read(input, Input::u16)?),
        key::RESTART_CAP => set(&mut restart_cap, read(input, Input::u16)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Bridge {
        name: required(name, "bridges[].name")?,
        host: required(host, "bridges[].host")?,
        port: required(port, "bridges[].port")?,
        tls: required(tls, "bridges[].tls")?,
        user,
        password,
        client_id,
        keep_alive: required(keep_alive, "bridges[].keep_alive")?,
        clean_session: clean_session.unwrap_or(absent::bridge::CLEAN_SESSION),
        try_private: try_private.unwrap_or(absent::bridge::TRY_PRIVATE),
        notifications: required(notifications, "bridges[].notifications")?,
        notification_topic,
        notifications_local_only: local_only.unwrap_or(absent::bridge::NOTIFICATIONS_LOCAL_ONLY),
        outgoing_retain: outgoing_retain.unwrap_or(absent::bridge::OUTGOING_RETAIN),
        restart_base: restart_base.unwrap_or(absent::bridge::RESTART_BASE),
        restart_cap: restart_cap.unwrap_or(absent::bridge::RESTART_CAP),
        topics: required(topics, "bridges[].topics")?,
        unknown,
    })
}

fn bridge_topic(input: &mut Input<'_>) -> Result<BridgeTopic, DecodeError> {
    use keys::bridge_topic as key;
    let (mut pattern, mut direction, mut qos, mut local, mut remote) = (None, None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::PATTERN => set(&mut pattern, text(input)?),
        key::DIRECTION => {
            set(&mut direction, variant(input, "bridges[].topics[].direction", Direction::from_number)?)
        }
        key::QOS => set(&mut qos, read(input, Input::u8)?),
        key::LOCAL_PREFIX => set(&mut local, text(input)?),
        key::REMOTE_PREFIX => set(&mut remote, text(input)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(BridgeTopic {
        pattern: required(pattern, "bridges[].topics[].pattern")?,
        direction: required(direction, "bridges[].topics[].direction")?,
        qos: required(qos, "bridges[].topics[].qos")?,
        local_prefix: required(local, "bridges[].topics[].local_prefix")?,
        remote_prefix: required(remote, "bridges[].topics[].remote_prefix")?,
        unknown,
    })
}

fn plug(input: &mut Input<'_>) -> Result<Plug, DecodeError> {
    use keys::plug as key;
    let (mut power_on, mut led) = (None, None);
    let unknown = map(input, |number, input| match number {
        key::POWER_ON => set(&mut power_on, variant(input, "plug.power_on", PowerOn::from_number)?),
        key::LED => set(&mut led, variant(input, "plug.led", LedUse::from_number)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Plug { power_on: required(power_on, "plug.power_on")?, led: required(led, "plug.led")?, unknown })
}

fn profile(input: &mut Input<'_>) -> Result<Profile, DecodeError> {
    use keys::profile as key;
    let (mut id, mut pins) = (None, None);
    let unknown = map(input, |number, input| match number {
        key::ID => set(&mut id, text(input)?),
        key::PINS => set(&mut pins, list(input, "profile.pins", PINS_MAX, pin)?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Profile { id: required(id, "profile.id")?, pins: required(pins, "profile.pins")?, unknown })
}

fn pin(input: &mut Input<'_>) -> Result<Pin, DecodeError> {
    if length(input, Input::array)? != 3 {
        return Err(DecodeError::Length { field: "profile.pins[]", expected: 3 });
    }
    Ok(Pin {
        gpio: read(input, Input::u8)?,
        function: variant(input, "profile.pins[].function", PinFunction::from_number)?,
        inverted: read(input, Input::bool)?,
    })
}

fn cluster(input: &mut Input<'_>) -> Result<Cluster, DecodeError> {
    use keys::cluster as key;
    let (mut name, mut cluster_key, mut priority, mut virtual_ipv4) = (None, None, None, None);
    let unknown = map(input, |number, input| match number {
        key::NAME => set(&mut name, text(input)?),
        key::KEY => set(&mut cluster_key, Secret::new(array(input, "cluster.key")?)),
        key::PRIORITY => set(&mut priority, read(input, Input::u8)?),
        key::VIRTUAL_IPV4 => set(&mut virtual_ipv4, array(input, "cluster.virtual_ipv4")?),
        _ => Ok(Key::Unknown),
    })?;
    Ok(Cluster {
        name: required(name, "cluster.name")?,
        key: required(cluster_key, "cluster.key")?,
        priority: required(priority, "cluster.priority")?,
        virtual_ipv4,
        unknown,
    })
}
