//! [`Packet`]: any control packet (MQTT 3.1.1 §3), decoded from and encoded to bytes.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use crate::{
    connack::Connack,
    connect::Connect,
    fixed_header::{FixedHeader, PacketType, remaining_length_size},
    malformed::Malformed,
    publish::Publish,
    reader::Reader,
    subscribe::{Suback, Subscribe, Unsubscribe},
    writer::{EncodeError, Writer},
};

/// Packet identifier, 1-65,535 (§2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// `None` for 0.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// 1-65,535.
    pub const fn value(self) -> u16 {
        self.0.get()
    }
}

/// A control packet that borrows its texts and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// §3.1.
    Connect(Connect<'a>),
    /// §3.2.
    Connack(Connack),
    /// §3.3.
    Publish(Publish<'a>),
    /// §3.4.
    Puback(PacketId),
    /// §3.5.
    Pubrec(PacketId),
    /// §3.6.
    Pubrel(PacketId),
    /// §3.7.
    Pubcomp(PacketId),
    /// §3.8.
    Subscribe(Subscribe<'a>),
    /// §3.9.
    Suback(Suback<'a>),
    /// §3.10.
    Unsubscribe(Unsubscribe<'a>),
    /// §3.11.
    Unsuback(PacketId),
    /// §3.12.
    Pingreq,
    /// §3.13.
    Pingresp,
    /// §3.14.
    Disconnect,
}

impl<'a> Packet<'a> {
    /// Decodes `bytes`, which must be exactly one packet; [`FixedHeader::parse`] says where one ends.
    ///
    /// # Errors
    /// The first violation found.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = FixedHeader::parse(bytes)?.ok_or(Malformed::Truncated)?;
        let body = bytes.get(usize::from(header.header_length)..).ok_or(Malformed::Truncated)?;
        match usize::try_from(header.remaining_length) {
            Ok(length) if length < body.len() => return Err(Malformed::TrailingBytes),
            Ok(length) if length == body.len() => {}
            _ => return Err(Malformed::Truncated),
        }
        let reader = &mut Reader::new(body);
        let packet = match header.packet_type {
            PacketType::Connect => Self::Connect(Connect::decode(reader)?),
            PacketType::Connack => Self::Connack(Connack::decode(reader)?),
            PacketType::Publish => Self::Publish(Publish::decode(header.flags, reader)?),
            PacketType::Puback => Self::Puback(reader.packet_id()?),
            PacketType::Pubrec => Self::Pubrec(reader.packet_id()?),
            PacketType::Pubrel => Self::Pubrel(reader.packet_id()?),
            PacketType::Pubcomp => Self::Pubcomp(reader.packet_id()?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::decode(reader)?),
            PacketType::Suback => Self::Suback(Suback::decode(reader)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(reader)?),
            PacketType::Unsuback => Self::Unsuback(reader.packet_id()?),
            PacketType::Pingreq => Self::Pingreq,
            PacketType::Pingresp => Self::Pingresp,
            PacketType::Disconnect => Self::Disconnect,
        };
        reader.finish()?;
        Ok(packet)
    }

    /// Which of the 14 it is.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect => PacketType::Disconnect,
        }
    }

    fn body_length(&self) -> Result<u32, EncodeError> {
        let length = match self {
            Self::Connect(connect) => connect.body_length(),
            Self::Connack(_) => Connack::BODY_LENGTH,
            Self::Publish(publish) => publish.body_length(),
            Self::Puback(_) | Self::Pubrec(_) | Self::Pubrel(_) | Self::Pubcomp(_) | Self::Unsuback(_) => 2,
            Self::Subscribe(subscribe) => subscribe.body_length(),
            Self::Suback(suback) => suback.body_length(),
            Self::Unsubscribe(unsubscribe) => unsubscribe.body_length(),
            Self::Pingreq | Self::Pingresp | Self::Disconnect => 0,
        };
        u32::try_from(length).map_err(|_| EncodeError::PacketTooLong)
    }

    /// Bytes that [`Self::encode`] will append.
    ///
    /// # Errors
    /// [`EncodeError::PacketTooLong`].
    pub fn encoded_length(&self) -> Result<usize, EncodeError> {
        let body = self.body_length()?;
        let header = 1 + remaining_length_size(body)?;
        usize::try_from(body).map(|body| header + body).map_err(|_| EncodeError::PacketTooLong)
    }

    /// Writes the packet to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`]; `buffer` may then hold a part of the packet.
    pub fn encode_to_slice(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let length = self.encoded_length()?;
        let packet_type = self.packet_type();
        let flags = match self {
            Self::Publish(publish) => publish.flags(),
            _ => packet_type.fixed_flags(),
        };
        let writer = &mut Writer::new(buffer);
        writer.byte((packet_type as u8) << 4 | flags)?;
        writer.remaining_length(self.body_length()?)?;
        match self {
            Self::Connect(connect) => connect.write_body(writer)?,
            Self::Connack(connack) => connack.write_body(writer)?,
            Self::Publish(publish) => publish.write_body(writer)?,
            Self::Puback(packet_id)
            | Self::Pubrec(packet_id)
            | Self::Pubrel(packet_id)
            | Self::Pubcomp(packet_id)
            | Self::Unsuback(packet_id) => writer.packet_id(*packet_id)?,
            Self::Subscribe(subscribe) => subscribe.write_body(writer)?,
            Self::Suback(suback) => suback.write_body(writer)?,
            Self::Unsubscribe(unsubscribe) => unsubscribe.write_body(writer)?,
            Self::Pingreq | Self::Pingresp | Self::Disconnect => {}
        }
        Ok(length)
    }

    /// Appends the packet to `bytes`.
    ///
    /// # Errors
    /// [`EncodeError`]; `bytes` is then as before.
    pub fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = bytes.len();
        bytes.resize(start + self.encoded_length()?, 0);
        let (_, target) = bytes.split_at_mut_checked(start).ok_or(EncodeError::BufferTooSmall)?;
        let result = self.encode_to_slice(target).map(|_| ());
        if result.is_err() {
            bytes.truncate(start);
        }
        result
    }
}
