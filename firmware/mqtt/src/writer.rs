//! [`Writer`]: the data representations of MQTT 3.1.1 §1.5, put into a slice of known size.

use core::fmt;

use crate::packet::PacketId;

/// Why a packet cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A text or binary field is longer than 65,535 bytes.
    FieldTooLong,
    /// The packet is longer than [`crate::REMAINING_LENGTH_MAX`] allows.
    PacketTooLong,
    /// A text holds U+0000.
    NullCharacter,
    /// A password is given without a user name.
    PasswordWithoutUserName,
    /// SUBSCRIBE, UNSUBSCRIBE or SUBACK without an entry.
    EmptyList,
    /// A CONNACK that refuses says that there is a session.
    SessionPresentWithRefusal,
    /// The slice is shorter than the packet.
    BufferTooSmall,
}

impl core::error::Error for EncodeError {}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FieldTooLong => "field is longer than 65535 bytes",
            Self::PacketTooLong => "packet is longer than the remaining length can say",
            Self::NullCharacter => "text holds U+0000",
            Self::PasswordWithoutUserName => "password without a user name",
            Self::EmptyList => "packet needs at least one entry",
            Self::SessionPresentWithRefusal => "session present in a refusal",
            Self::BufferTooSmall => "buffer is shorter than the packet",
        })
    }
}

/// The part of a slice that has not been written yet.
pub(crate) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8]) -> Self {
        Self(buffer)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let (target, rest) = core::mem::take(&mut self.0)
            .split_at_mut_checked(bytes.len())
            .ok_or(EncodeError::BufferTooSmall)?;
        target.copy_from_slice(bytes);
        self.0 = rest;
        Ok(())
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        self.bytes(&[byte])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn packet_id(&mut self, packet_id: PacketId) -> Result<(), EncodeError> {
        self.u16(packet_id.value())
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.u16(u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?)?;
        self.bytes(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        if text.as_bytes().contains(&0) {
            return Err(EncodeError::NullCharacter);
        }
        self.binary(text.as_bytes())
    }

    /// §2.2.3, the non-normative algorithm.
    pub(crate) fn remaining_length(&mut self, mut length: u32) -> Result<(), EncodeError> {
        loop {
            let [low, ..] = (length & 0x7f).to_le_bytes();
            length >>= 7;
            if length == 0 {
                return self.byte(low);
            }
            self.byte(low | 0x80)?;
        }
    }
}

/// Bytes that a field with a two-byte length in front takes.
pub(crate) const fn field_length(field: &[u8]) -> usize {
    2 + field.len()
}
