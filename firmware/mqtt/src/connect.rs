//! CONNECT (MQTT 3.1.1 §3.1), also with the name and level of MQTT 3.1, and with mosquitto's bridge bit in the level.

use core::fmt;

use crate::{
    malformed::Malformed,
    publish::QoS,
    reader::Reader,
    topic::TopicName,
    writer::{EncodeError, Writer, field_length},
};

const RESERVED: u8 = 0x01;
const CLEAN_SESSION: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Bit of the protocol level that mosquitto sets with `try_private` (mosquitto.conf(5)); no standard has it.
const BRIDGE: u8 = 0x80;

/// Protocol name and level (§3.1.2.1, §3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `MQIsdp`, level 3: MQTT 3.1.
    Mqtt31,
    /// `MQTT`, level 4: MQTT 3.1.1.
    Mqtt311,
}

impl Protocol {
    const fn name_and_level(self) -> (&'static str, u8) {
        match self {
            Self::Mqtt31 => ("MQIsdp", 3),
            Self::Mqtt311 => ("MQTT", 4),
        }
    }
}

/// The message that the server publishes when the connection ends without DISCONNECT (§3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it goes.
    pub topic: TopicName<'a>,
    /// Any bytes, also none; at most 65,535.
    pub payload: &'a [u8],
    /// QoS that it is published with.
    pub qos: QoS,
    /// Is it published as a retained message.
    pub retain: bool,
}

/// A client's request for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// MQTT 3.1 or 3.1.1.
    pub protocol: Protocol,
    /// The client is another broker's bridge: level 0x83 or 0x84 for 3 or 4. It asks not to be sent its own messages,
    /// and to be sent RETAIN as it was published. A server that does not know the bit refuses the level (§3.1.2.2).
    pub bridge: bool,
    /// May be empty here; whether that is allowed is for the server to say (§3.1.3.1).
    pub client_id: &'a str,
    /// Start without, and keep no, session state (§3.1.2.4).
    pub clean_session: bool,
    /// Seconds; 0 turns the keep alive off (§3.1.2.10).
    pub keep_alive: u16,
    /// Published on an unclean end.
    pub will: Option<Will<'a>>,
    /// Account.
    pub user_name: Option<&'a str>,
    /// Any bytes; only with a user name.
    pub password: Option<&'a [u8]>,
}

impl fmt::Debug for Connect<'_> {
    /// Shows everything but the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connect")
            .field("protocol", &self.protocol)
            .field("bridge", &self.bridge)
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "****"))
            .finish()
    }
}

impl<'a> Connect<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let protocol = match reader.binary()? {
            b"MQTT" => Protocol::Mqtt311,
            b"MQIsdp" => Protocol::Mqtt31,
            _ => return Err(Malformed::ProtocolName),
        };
        // Judged before the rest, which another level may lay out in another way.
        let level = reader.byte()?;
        if level & !BRIDGE != protocol.name_and_level().1 {
            return Err(Malformed::ProtocolLevel(level));
        }
        let bridge = level & BRIDGE != 0;
        let flags = reader.byte()?;
        if flags & RESERVED != 0 {
            return Err(Malformed::ConnectReservedFlag);
        }
        let will_qos = QoS::from_number(flags >> WILL_QOS_SHIFT & 0b11).ok_or(Malformed::WillQos)?;
        let will_retain = flags & WILL_RETAIN != 0;
        if flags & WILL == 0 && (will_qos != QoS::AtMostOnce || will_retain) {
            return Err(Malformed::WillFlagsWithoutWill);
        }
        if flags & PASSWORD != 0 && flags & USER_NAME == 0 {
            return Err(Malformed::PasswordWithoutUserName);
        }
        let keep_alive = reader.u16()?;
        let client_id = reader.text()?;
        let will = if flags & WILL != 0 {
            let topic = TopicName::new(reader.text()?).map_err(Malformed::WillTopic)?;
            Some(Will { topic, payload: reader.binary()?, qos: will_qos, retain: will_retain })
        } else {
            None
        };
        let user_name = if flags & USER_NAME != 0 { Some(reader.text()?) } else { None };
        let password = if flags & PASSWORD != 0 { Some(reader.binary()?) } else { None };
        let clean_session = flags & CLEAN_SESSION != 0;
        Ok(Self { protocol, bridge, client_id, clean_session, keep_alive, will, user_name, password })
    }

    pub(crate) fn body_length(&self) -> usize {
        let will = self
            .will
            .map_or(0, |will| field_length(will.topic.as_str().as_bytes()) + field_length(will.payload));
        field_length(self.protocol.name_and_level().0.as_bytes())
            + 4
            + field_length(self.client_id.as_bytes())
            + will
            + self.user_name.map_or(0, |name| field_length(name.as_bytes()))
            + self.password.map_or(0, field_length)
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        let (name, level) = self.protocol.name_and_level();
        let level = if self.bridge { level | BRIDGE } else { level };
        let mut flags = if self.clean_session { CLEAN_SESSION } else { 0 };
        if let Some(will) = self.will {
            flags |= WILL | will.qos.number() << WILL_QOS_SHIFT;
            flags |= if will.retain { WILL_RETAIN } else { 0 };
        }
        flags |= if self.user_name.is_some() { USER_NAME } else { 0 };
        flags |= if self.password.is_some() { PASSWORD } else { 0 };
        writer.text(name)?;
        writer.bytes(&[level, flags])?;
        writer.u16(self.keep_alive)?;
        writer.text(self.client_id)?;
        if let Some(will) = self.will {
            writer.text(will.topic.as_str())?;
            writer.binary(will.payload)?;
        }
        if let Some(name) = self.user_name {
            writer.text(name)?;
        }
        self.password.map_or(Ok(()), |password| writer.binary(password))
    }
}
