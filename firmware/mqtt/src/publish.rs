//! PUBLISH (MQTT 3.1.1 §3.3): a message on its way.

use crate::{
    malformed::Malformed,
    packet::PacketId,
    reader::Reader,
    topic::TopicName,
    writer::{EncodeError, Writer, field_length},
};

/// Quality of service (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// QoS of a PUBLISH with what only QoS 1 and 2 carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// What the PUBACK will name.
        packet_id: PacketId,
        /// DUP: this may have been sent before (§3.3.1.1).
        duplicate: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// What PUBREC, PUBREL and PUBCOMP will name.
        packet_id: PacketId,
        /// DUP: this may have been sent before (§3.3.1.1).
        duplicate: bool,
    },
}

impl Delivery {
    /// The bare QoS.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    const fn tracked(self) -> Option<(PacketId, bool)> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, duplicate } | Self::ExactlyOnce { packet_id, duplicate } => {
                Some((packet_id, duplicate))
            }
        }
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it goes.
    pub topic: TopicName<'a>,
    /// Any bytes, also none.
    pub payload: &'a [u8],
    /// To the server: keep it for the topic. To a client: it was kept (§3.3.1.3).
    pub retain: bool,
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
}

impl<'a> Publish<'a> {
    pub(crate) fn decode(flags: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let topic = TopicName::new(reader.text()?).map_err(Malformed::TopicName)?;
        let duplicate = flags & 0b1000 != 0;
        let delivery = match QoS::from_number(flags >> 1 & 0b11).ok_or(Malformed::PublishQos)? {
            QoS::AtMostOnce if duplicate => return Err(Malformed::DuplicateAtQos0),
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id: reader.packet_id()?, duplicate },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id: reader.packet_id()?, duplicate },
        };
        Ok(Self { topic, payload: reader.rest(), retain: flags & 1 != 0, delivery })
    }

    pub(crate) fn flags(&self) -> u8 {
        let duplicate = self.delivery.tracked().is_some_and(|(_, duplicate)| duplicate);
        u8::from(duplicate) << 3 | self.delivery.qos().number() << 1 | u8::from(self.retain)
    }

    pub(crate) fn body_length(&self) -> usize {
        let packet_id = if self.delivery.tracked().is_some() { 2 } else { 0 };
        field_length(self.topic.as_str().as_bytes()) + packet_id + self.payload.len()
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.binary(self.topic.as_str().as_bytes())?;
        if let Some((packet_id, _)) = self.delivery.tracked() {
            writer.packet_id(packet_id)?;
        }
        writer.bytes(self.payload)
    }
}
