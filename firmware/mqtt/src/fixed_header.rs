//! [`FixedHeader`]: packet type, flags and remaining length (MQTT 3.1.1 §2.2), parsed from a stream.

use crate::{
    malformed::Malformed,
    writer::{EncodeError, Writer},
};

/// Largest remaining length that four bytes can say (§2.2.3).
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;

/// The 14 control packet types; the value is the high nibble of the first byte (§2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketType {
    /// Client asks for a connection.
    Connect = 1,
    /// Server answers it.
    Connack = 2,
    /// A message.
    Publish = 3,
    /// Answer to a PUBLISH with QoS 1.
    Puback = 4,
    /// First answer to a PUBLISH with QoS 2.
    Pubrec = 5,
    /// Release of a QoS 2 packet identifier.
    Pubrel = 6,
    /// Last packet of a QoS 2 exchange.
    Pubcomp = 7,
    /// Client subscribes.
    Subscribe = 8,
    /// Server answers it.
    Suback = 9,
    /// Client takes subscriptions back.
    Unsubscribe = 10,
    /// Server answers it.
    Unsuback = 11,
    /// Client shows that it is alive.
    Pingreq = 12,
    /// Server answers it.
    Pingresp = 13,
    /// Client says good-bye.
    Disconnect = 14,
}

impl PacketType {
    fn from_nibble(nibble: u8) -> Result<Self, Malformed> {
        Ok(match nibble {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            _ => return Err(Malformed::ReservedPacketType(nibble)),
        })
    }

    fn check_flags(self, flags: u8) -> Result<(), Malformed> {
        match self {
            Self::Publish if flags & 0b0110 == 0b0110 => Err(Malformed::PublishQos),
            Self::Publish if flags & 0b1110 == 0b1000 => Err(Malformed::DuplicateAtQos0),
            Self::Publish => Ok(()),
            _ if flags == self.fixed_flags() => Ok(()),
            _ => Err(Malformed::FixedHeaderFlags(flags)),
        }
    }

    /// The flags that every packet of this type carries (§2.2.2); those of a PUBLISH depend on the message.
    pub(crate) const fn fixed_flags(self) -> u8 {
        match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// The start of every control packet: two to five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// What follows.
    pub packet_type: PacketType,
    /// Low nibble of the first byte, already checked against the type.
    pub flags: u8,
    /// Bytes after the fixed header, 0 to [`REMAINING_LENGTH_MAX`].
    pub remaining_length: u32,
    /// Bytes of the fixed header itself, 2 to 5.
    pub header_length: u8,
}

impl FixedHeader {
    /// Longest fixed header in bytes.
    pub const LENGTH_MAX: usize = 5;

    /// Reads the header at the front of `bytes`; `None` when more bytes are needed.
    ///
    /// An error in the first byte is reported from the first byte alone, so the result does not depend on how a
    /// stream was cut. Remaining lengths in more bytes than needed are accepted, as §2.2.3 does not forbid them.
    ///
    /// # Errors
    /// [`Malformed`] when no continuation can make the header valid.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let packet_type = PacketType::from_nibble(first >> 4)?;
        let flags = first & 0x0f;
        packet_type.check_flags(flags)?;
        let mut remaining_length = 0;
        for ((shift, header_length), &byte) in [(0, 2), (7, 3), (14, 4), (21, 5)].into_iter().zip(rest) {
            remaining_length |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(Self { packet_type, flags, remaining_length, header_length }));
            }
        }
        if rest.len() < 4 { Ok(None) } else { Err(Malformed::RemainingLength) }
    }

    /// The header of a packet with `remaining_length` bytes behind it, which are 0 to [`REMAINING_LENGTH_MAX`].
    ///
    /// # Errors
    /// [`EncodeError::PacketTooLong`].
    pub fn new(packet_type: PacketType, flags: u8, remaining_length: u32) -> Result<Self, EncodeError> {
        let size = remaining_length_size(remaining_length)?;
        let header_length = u8::try_from(1 + size).map_err(|_| EncodeError::PacketTooLong)?;
        Ok(Self { packet_type, flags, remaining_length, header_length })
    }

    /// Writes the header to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooSmall`].
    pub fn encode_to_slice(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let writer = &mut Writer::new(buffer);
        writer.byte((self.packet_type as u8) << 4 | self.flags)?;
        writer.remaining_length(self.remaining_length)?;
        Ok(usize::from(self.header_length))
    }

    /// Bytes of the whole packet.
    pub const fn packet_length(&self) -> u32 {
        self.remaining_length + self.header_length as u32
    }
}

/// Bytes that the remaining length `length` takes.
pub(crate) const fn remaining_length_size(length: u32) -> Result<usize, EncodeError> {
    match length {
        0..=127 => Ok(1),
        128..=16_383 => Ok(2),
        16_384..=2_097_151 => Ok(3),
        2_097_152..=REMAINING_LENGTH_MAX => Ok(4),
        _ => Err(EncodeError::PacketTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_lengths_of_the_standard_are_read() {
        // MQTT 3.1.1 §2.2.3, table 2.4.
        for (bytes, length) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0xff, 0x7f], 16_383),
            (&[0x80, 0x80, 0x01], 16_384),
            (&[0xff, 0xff, 0x7f], 2_097_151),
            (&[0x80, 0x80, 0x80, 0x01], 2_097_152),
            (&[0xff, 0xff, 0xff, 0x7f], 268_435_455),
        ] {
            let mut packet = alloc::vec![0x30];
            packet.extend_from_slice(bytes);
            let header = FixedHeader::parse(&packet).unwrap().unwrap();
            assert_eq!(header.remaining_length, length);
            assert_eq!(usize::from(header.header_length), packet.len());
            assert_eq!(remaining_length_size(length), Ok(bytes.len()));
            assert_eq!(FixedHeader::parse(&packet[..packet.len() - 1]), Ok(None));
            assert_eq!(FixedHeader::new(PacketType::Publish, 0, length), Ok(header));
            let mut buffer = [0; FixedHeader::LENGTH_MAX];
            assert_eq!(header.encode_to_slice(&mut buffer), Ok(packet.len()));
            assert_eq!(buffer[..packet.len()], packet[..]);
        }
    }

    #[test]
    fn a_fifth_length_byte_is_refused() {
        assert_eq!(FixedHeader::parse(&[0x30, 0xff, 0xff, 0xff]), Ok(None));
        assert_eq!(FixedHeader::parse(&[0x30, 0xff, 0xff, 0xff, 0x80]), Err(Malformed::RemainingLength));
        assert_eq!(remaining_length_size(REMAINING_LENGTH_MAX + 1), Err(EncodeError::PacketTooLong));
    }

    #[test]
    fn the_first_byte_alone_decides_type_and_flags() {
        for first in 0..=255_u8 {
            let expected = match first {
                0x00..=0x0f => Err(Malformed::ReservedPacketType(0)),
                0xf0..=0xff => Err(Malformed::ReservedPacketType(15)),
                0x36 | 0x37 | 0x3e | 0x3f => Err(Malformed::PublishQos),
                0x38 | 0x39 => Err(Malformed::DuplicateAtQos0),
                0x30..=0x3f
                | 0x10
                | 0x20
                | 0x40
                | 0x50
                | 0x62
                | 0x70
                | 0x82
                | 0x90
                | 0xa2
                | 0xb0
                | 0xc0
                | 0xd0
                | 0xe0 => Ok(None),
                _ => Err(Malformed::FixedHeaderFlags(first & 0x0f)),
            };
            assert_eq!(FixedHeader::parse(&[first]), expected, "{first:#x}");
        }
    }
}
