//! [`Malformed`]: every way in which bytes can fail to be an MQTT 3.1.1 control packet.

use core::fmt;

use crate::topic::TopicError;

/// Why bytes are not a valid control packet. The receiver closes the network connection (MQTT 3.1.1 §4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Packet type 0 or 15 (§2.2.1).
    ReservedPacketType(u8),
    /// The low four bits of the first byte are not those of the packet type (§2.2.2).
    FixedHeaderFlags(u8),
    /// The remaining length goes on after its fourth byte (§2.2.3).
    RemainingLength,
    /// The packet ends inside a field.
    Truncated,
    /// The packet goes on after its last field.
    TrailingBytes,
    /// A text is not UTF-8 (§1.5.3).
    NotUtf8,
    /// A text holds U+0000 (§1.5.3).
    NullCharacter,
    /// Packet identifier 0 (§2.3.1).
    ZeroPacketId,
    /// The protocol name is neither `MQTT` nor `MQIsdp` (§3.1.2.1).
    ProtocolName,
    /// The protocol level does not belong to the name; answered with CONNACK 1 (§3.1.2.2).
    ProtocolLevel(u8),
    /// The reserved bit of the connect flags is set (§3.1.2.3).
    ConnectReservedFlag,
    /// Will QoS or will retain without the will flag (§3.1.2.6, §3.1.2.7).
    WillFlagsWithoutWill,
    /// Will QoS 3 (§3.1.2.6).
    WillQos,
    /// Password flag without user name flag (§3.1.2.9).
    PasswordWithoutUserName,
    /// The will topic is not a topic name.
    WillTopic(TopicError),
    /// A reserved bit of the connect acknowledge flags is set (§3.2.2.1).
    ConnackFlags(u8),
    /// A connect return code above 5 (§3.2.2.3).
    ConnackReturnCode(u8),
    /// Session present in a CONNACK that refuses (§3.2.2.2).
    SessionPresentWithRefusal,
    /// PUBLISH with QoS 3 (§3.3.1.2).
    PublishQos,
    /// DUP set on a PUBLISH with QoS 0 (§3.3.1.1).
    DuplicateAtQos0,
    /// The topic of a PUBLISH is not a topic name (§3.3.2.1).
    TopicName(TopicError),
    /// A topic filter in SUBSCRIBE or UNSUBSCRIBE is not one (§4.7).
    TopicFilter(TopicError),
    /// SUBSCRIBE without a topic filter (§3.8.3).
    SubscribeWithoutFilter,
    /// The requested QoS of a subscription is above 2 or its reserved bits are set (§3.8.3).
    SubscribeOptions(u8),
    /// UNSUBSCRIBE without a topic filter (§3.10.3).
    UnsubscribeWithoutFilter,
    /// SUBACK without a return code.
    SubackWithoutReturnCode,
    /// A SUBACK return code other than 0, 1, 2 and 0x80 (§3.9.3).
    SubackReturnCode(u8),
}

impl core::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::ReservedPacketType(value) => return write!(formatter, "reserved packet type: {value}"),
            Self::FixedHeaderFlags(value) => {
                return write!(formatter, "wrong fixed header flags: {value:#x}");
            }
            Self::ProtocolLevel(value) => return write!(formatter, "unsupported protocol level: {value}"),
            Self::WillTopic(error) => return write!(formatter, "bad will topic: {error}"),
            Self::ConnackFlags(value) => return write!(formatter, "reserved CONNACK flags: {value:#x}"),
            Self::ConnackReturnCode(value) => return write!(formatter, "reserved CONNACK code: {value}"),
            Self::TopicName(error) => return write!(formatter, "bad topic name: {error}"),
            Self::TopicFilter(error) => return write!(formatter, "bad topic filter: {error}"),
            Self::SubscribeOptions(value) => {
                return write!(formatter, "bad requested QoS in SUBSCRIBE: {value:#x}");
            }
            Self::SubackReturnCode(value) => return write!(formatter, "reserved SUBACK code: {value:#x}"),
            Self::RemainingLength => "remaining length longer than four bytes",
            Self::Truncated => "packet ends inside a field",
            Self::TrailingBytes => "bytes after the last field of the packet",
            Self::NotUtf8 => "text is not UTF-8",
            Self::NullCharacter => "text holds U+0000",
            Self::ZeroPacketId => "packet identifier is 0",
            Self::ProtocolName => "unknown protocol name",
            Self::ConnectReservedFlag => "reserved connect flag is set",
            Self::WillFlagsWithoutWill => "will QoS or will retain without a will",
            Self::WillQos => "will QoS is 3",
            Self::PasswordWithoutUserName => "password without a user name",
            Self::SessionPresentWithRefusal => "session present in a refusal",
            Self::PublishQos => "PUBLISH with QoS 3",
            Self::DuplicateAtQos0 => "DUP set on a PUBLISH with QoS 0",
            Self::SubscribeWithoutFilter => "SUBSCRIBE without a topic filter",
            Self::UnsubscribeWithoutFilter => "UNSUBSCRIBE without a topic filter",
            Self::SubackWithoutReturnCode => "SUBACK without a return code",
        };
        formatter.write_str(text)
    }
}
