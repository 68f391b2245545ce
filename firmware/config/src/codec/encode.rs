//! [`Config`] to CBOR.

use alloc::{string::String, vec::Vec};
use core::convert::Infallible;

use minicbor::{
    Encoder,
    encode::{Error, Write},
};

use super::{EncodeError, Unknown, absent, keys};
use crate::{
    model::{
        AccessPoint, Bridge, BridgeTopic, Broker, Cluster, Config, FixedIpv4, Limits, Passphrase, Permission,
        Pin, Plug, Profile, User, Wifi,
    },
    slots::PAYLOAD_MAX,
};

/// The CBOR of `config`; its limits are not checked, `validate` does that.
///
/// # Errors
///
/// [`EncodeError::TooLong`] when it does not fit into a slot.
pub fn encode(config: &Config) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    encode_behind(&mut bytes, config)?;
    Ok(bytes)
}

/// Bytes of the CBOR of `config`, also when that is more than a slot holds.
pub fn encoded_length(config: &Config) -> usize {
    match encode(config) {
        Ok(bytes) => bytes.len(),
        Err(EncodeError::TooLong { length, .. }) => length,
    }
}

/// Appends the CBOR of `config` to `bytes` and returns its length. `bytes` is incomplete after an error.
pub(crate) fn encode_behind(bytes: &mut Vec<u8>, config: &Config) -> Result<usize, EncodeError> {
    let mut output = Encoder::new(Payload { bytes, length: 0 });
    let outcome = config.write(&mut output);
    match (outcome, output.into_writer().length) {
        (Ok(()), length @ ..=PAYLOAD_MAX) => Ok(length),
        // The encoder fails only when its writer does, and this one never does.
        (_, length) => Err(EncodeError::TooLong { length, limit: PAYLOAD_MAX }),
    }
}

/// Stores at most a slot's worth and counts the rest, so that no config makes it grow beyond the flash it is for.
struct Payload<'a> {
    bytes: &'a mut Vec<u8>,
    length: usize,
}

impl Write for Payload<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.length = self.length.saturating_add(bytes.len());
        if self.length <= PAYLOAD_MAX {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }
}

type Output<'a> = Encoder<Payload<'a>>;
type Outcome = Result<(), Error<Infallible>>;

/// Something that becomes one CBOR data item.
trait Item {
    fn write(&self, output: &mut Output<'_>) -> Outcome;
}

/// A key and its value; `None` leaves the entry out.
type Field<'a> = (u32, Option<&'a dyn Item>);

/// Writes `fields` and the entries of `unknown` in ascending order. `fields` must be ascending.
fn map(output: &mut Output<'_>, unknown: &Unknown, fields: &[Field<'_>]) -> Outcome {
    // An entry that came in under a key of this map would make the map unreadable: the known field wins.
    let mut kept =
        unknown.pairs().filter(|(key, _)| !fields.iter().any(|(known, _)| known == key)).peekable();
    let present = fields.iter().filter_map(|(key, value)| value.map(|value| (*key, value)));
    let count = present.clone().count() + unknown_count(unknown, fields);
    output.map(u64::try_from(count).unwrap_or(u64::MAX))?;
    for (key, value) in present {
        while let Some((_, pair)) = kept.next_if(|(other, _)| *other < key) {
            output.writer_mut().write_all(pair).map_err(Error::write)?;
        }
        output.u32(key)?;
        value.write(output)?;
    }
    for (_, pair) in kept {
        output.writer_mut().write_all(pair).map_err(Error::write)?;
    }
    Ok(())
}

fn unknown_count(unknown: &Unknown, fields: &[Field<'_>]) -> usize {
    unknown.keys().filter(|key| !fields.iter().any(|(known, _)| known == key)).count()
}

fn optional<T: Item>(value: &Option<T>) -> Option<&dyn Item> {
    value.as_ref().map(|value| value as &dyn Item)
}

/// A field that is left out while it has the value that its absence stands for.
fn unless<'a, T: Item + PartialEq>(absent: &T, value: &'a T) -> Option<&'a dyn Item> {
    (value != absent).then_some(value as &dyn Item)
}

/// A list that is left out while it is empty.
fn unless_empty<'a, T: Item>(list: &'a List<'_, T>) -> Option<&'a dyn Item> {
    (!list.0.is_empty()).then_some(list as &dyn Item)
}

/// A list becomes an array; a type of its own, since `Vec<u8>` is a byte string.
struct List<'a, T>(&'a [T]);

impl<T: Item> Item for List<'_, T> {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.array(u64::try_from(self.0.len()).unwrap_or(u64::MAX))?;
        self.0.iter().try_for_each(|item| item.write(output))
    }
}

impl Item for u8 {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.u8(*self)?.ok()
    }
}

impl Item for u16 {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.u16(*self)?.ok()
    }
}

impl Item for u32 {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.u32(*self)?.ok()
    }
}

impl Item for bool {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.bool(*self)?.ok()
    }
}

impl Item for String {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.str(self)?.ok()
    }
}

impl Item for Vec<u8> {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.bytes(self)?.ok()
    }
}

impl<const N: usize> Item for [u8; N] {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.bytes(self)?.ok()
    }
}

impl<T: Item + zeroize::Zeroize> Item for crate::secret::Secret<T> {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        self.expose().write(output)
    }
}

impl Item for Config {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::config as key;
        map(
            output,
            &self.unknown,
            &[
                (key::NAME, Some(&self.name)),
                (key::ROLE, Some(&self.role.number())),
                (key::WIFI, optional(&self.wifi)),
                (key::ACCESS_POINT, Some(&self.access_point)),
                (key::BROKER, Some(&self.broker)),
                (key::BRIDGES, Some(&List(&self.bridges))),
                (key::PROFILE, optional(&self.profile)),
                (key::ADMIN_KEY, optional(&self.admin_key)),
                (key::CLUSTER, optional(&self.cluster)),
                (key::PLUG, unless(&absent::plug(), &self.plug)),
            ],
        )
    }
}

impl Item for Wifi {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::wifi as key;
        map(
            output,
            &self.unknown,
            &[
                (key::SSID, Some(&self.ssid)),
                (key::PASSPHRASE, optional(&self.passphrase)),
                (key::HIDDEN, Some(&self.hidden)),
                (key::BSSID, optional(&self.bssid)),
                (key::CHANNEL, optional(&self.channel)),
                (key::IPV4, optional(&self.ipv4)),
            ],
        )
    }
}

/// A text string is a passphrase, a byte string the key itself.
impl Item for Passphrase {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        match self {
            Self::Text(text) => text.write(output),
            Self::Key(key) => key.write(output),
        }
    }
}

impl Item for FixedIpv4 {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::fixed_ipv4 as key;
        map(
            output,
            &self.unknown,
            &[
                (key::ADDRESS, Some(&self.address)),
                (key::PREFIX, Some(&self.prefix)),
                (key::GATEWAY, Some(&self.gateway)),
                (key::DNS, optional(&self.dns)),
            ],
        )
    }
}

impl Item for AccessPoint {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::access_point as key;
        map(
            output,
            &self.unknown,
            &[
                (key::POLICY, Some(&self.policy.number())),
                (key::SSID, optional(&self.ssid)),
                (key::PASSPHRASE, optional(&self.passphrase)),
            ],
        )
    }
}

impl Item for Broker {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::broker as key;
        map(
            output,
            &self.unknown,
            &[
                (key::MQTT_PORT, Some(&self.mqtt_port)),
                (key::WEBSOCKET_PORT, Some(&self.websocket_port)),
                (key::ANONYMOUS, Some(&self.anonymous.number())),
                (key::USERS, Some(&List(&self.users))),
                (key::LIMITS, Some(&self.limits)),
                (key::ANONYMOUS_PERMISSIONS, unless_empty(&List(&self.anonymous_permissions))),
                (key::SYS_INTERVAL, unless(&absent::broker::SYS_INTERVAL, &self.sys_interval)),
            ],
        )
    }
}

impl Item for User {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::user as key;
        map(
            output,
            &self.unknown,
            &[
                (key::NAME, Some(&self.name)),
                (key::ITERATIONS, Some(&self.password.iterations)),
                (key::SALT, Some(&self.password.salt)),
                (key::HASH, Some(&self.password.hash)),
                (key::PERMISSIONS, unless_empty(&List(&self.permissions))),
            ],
        )
    }
}

impl Item for Permission {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::permission as key;
        map(
            output,
            &self.unknown,
            &[(key::PATTERN, Some(&self.pattern)), (key::ACCESS, Some(&self.access.number()))],
        )
    }
}

impl Item for Limits {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::limits as key;
        map(
            output,
            &self.unknown,
            &[
                (key::CLIENTS, Some(&self.clients)),
                (key::SUBSCRIPTIONS_PER_CLIENT, Some(&self.subscriptions_per_client)),
                (key::RETAINED_MESSAGES, Some(&self.retained_messages)),
                (key::RETAINED_BYTES, Some(&self.retained_bytes)),
                (key::PACKET_SIZE, Some(&self.packet_size)),
                (key::QUEUE_BYTES, Some(&self.queue_bytes)),
                (key::SESSIONS, unless(&absent::limits::SESSIONS, &self.sessions)),
                (key::QUEUE_MESSAGES, unless(&absent::limits::QUEUE_MESSAGES, &self.queue_messages)),
            ],
        )
    }
}

impl Item for Bridge {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::bridge as key;
        map(
            output,
            &self.unknown,
            &[
                (key::NAME, Some(&self.name)),
                (key::HOST, Some(&self.host)),
                (key::PORT, Some(&self.port)),
                (key::TLS, Some(&self.tls)),
                (key::USER, optional(&self.user)),
                (key::PASSWORD, optional(&self.password)),
                (key::CLIENT_ID, optional(&self.client_id)),
                (key::KEEP_ALIVE, Some(&self.keep_alive)),
                (key::NOTIFICATIONS, Some(&self.notifications)),
                (key::TOPICS, Some(&List(&self.topics))),
                (key::CLEAN_SESSION, unless(&absent::bridge::CLEAN_SESSION, &self.clean_session)),
                (key::TRY_PRIVATE, unless(&absent::bridge::TRY_PRIVATE, &self.try_private)),
                (key::NOTIFICATION_TOPIC, optional(&self.notification_topic)),
                (
                    key::NOTIFICATIONS_LOCAL_ONLY,
                    unless(&absent::bridge::NOTIFICATIONS_LOCAL_ONLY, &self.notifications_local_only),
                ),
                (key::OUTGOING_RETAIN, unless(&absent::bridge::OUTGOING_RETAIN, &self.outgoing_retain)),
                (key::RESTART_BASE, unless(&absent::bridge::RESTART_BASE, &self.restart_base)),
                (key::RESTART_CAP, unless(&absent::bridge::RESTART_CAP, &self.restart_cap)),
            ],
        )
    }
}

impl Item for BridgeTopic {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::bridge_topic as key;
        map(
            output,
            &self.unknown,
            &[
                (key::PATTERN, Some(&self.pattern)),
                (key::DIRECTION, Some(&self.direction.number())),
                (key::QOS, Some(&self.qos)),
                (key::LOCAL_PREFIX, Some(&self.local_prefix)),
                (key::REMOTE_PREFIX, Some(&self.remote_prefix)),
            ],
        )
    }
}

impl Item for Profile {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::profile as key;
        map(output, &self.unknown, &[(key::ID, Some(&self.id)), (key::PINS, Some(&List(&self.pins)))])
    }
}

/// An array, not a map: what a pin may need beyond these three gets a key of its own in the profile.
impl Item for Pin {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        output.array(3)?.u8(self.gpio)?.u8(self.function.number())?.bool(self.inverted)?.ok()
    }
}

impl Item for Plug {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::plug as key;
        map(
            output,
            &self.unknown,
            &[(key::POWER_ON, Some(&self.power_on.number())), (key::LED, Some(&self.led.number()))],
        )
    }
}

impl Item for Cluster {
    fn write(&self, output: &mut Output<'_>) -> Outcome {
        use keys::cluster as key;
        map(
            output,
            &self.unknown,
            &[
                (key::NAME, Some(&self.name)),
                (key::KEY, Some(&self.key)),
                (key::PRIORITY, Some(&self.priority)),
                (key::VIRTUAL_IPV4, optional(&self.virtual_ipv4)),
            ],
        )
    }
}
