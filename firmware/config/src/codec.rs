//! [`Config`] as CBOR: maps with small integer keys, definite lengths, keys in ascending order.
//!
//! Implements the deterministic core of RFC 8949 (§4.2.1) as far as a config needs it: unsigned integers, booleans,
//! byte strings, text strings, arrays and maps. Left out: indefinite lengths, which are refused anywhere, also
//! inside values of unknown keys.
//!
//! How the format grows: a new field is a new key that older programs do not know; they keep it ([`Unknown`]) and
//! write it back at its place. It is left out while its value is the one that its absence stands for (`absent`), so
//! that what older programs wrote stays byte for byte as it was. A key is never given a second meaning. A change that
//! an older program must not overlook (a new enum number, another type for a key) takes a new format version in
//! `slots`.

mod absent;
mod decode;
mod encode;
mod keys;
mod unknown;

use core::fmt;

pub(crate) use self::encode::encode_behind;
pub use self::{
    decode::decode,
    encode::{encode, encoded_length},
    unknown::Unknown,
};

#[cfg(doc)]
use crate::model::Config;

/// Nesting inside the value of an unknown key that is still kept; deeper is refused.
///
/// A bound, because the stack of the chip has one.
pub const UNKNOWN_DEPTH_MAX: u8 = 8;

/// Why a config cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// Its CBOR does not fit into a slot.
    TooLong {
        /// Bytes of CBOR.
        length: usize,
        /// Bytes there is room for.
        limit: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(formatter, "config is longer than a slot of {limit} bytes: {length}")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why bytes are not a config. Offsets count from the first byte of the CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ends inside an item.
    Cut,
    /// The byte cannot begin an item, or begins one of indefinite length.
    Malformed {
        /// Where the item begins.
        offset: usize,
    },
    /// An item is of another type, or a number is too large for its field.
    Type {
        /// Where the item begins.
        offset: usize,
    },
    /// A key is not larger than the one before it.
    KeyOrder {
        /// Where the key begins.
        offset: usize,
    },
    /// The value of an unknown key is nested too deeply.
    TooDeep {
        /// Where the value begins.
        offset: usize,
    },
    /// A map lacks a key that was there from the first version on.
    Missing {
        /// The field that the key stands for.
        field: &'static str,
    },
    /// A byte string of fixed length has another one.
    Length {
        /// The field.
        field: &'static str,
        /// Bytes it must have.
        expected: usize,
    },
    /// A list has more entries than a device can hold.
    TooMany {
        /// The field.
        field: &'static str,
        /// Entries it may have.
        limit: usize,
    },
    /// A number that stands for no variant this version knows.
    Variant {
        /// The field.
        field: &'static str,
        /// The number.
        number: u8,
    },
    /// Bytes follow the config.
    Trailing {
        /// How many.
        length: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => formatter.write_str("config ends inside an item"),
            Self::Malformed { offset } => {
                write!(formatter, "not an item of definite length at byte: {offset}")
            }
            Self::Type { offset } => write!(formatter, "item of another type or too large at byte: {offset}"),
            Self::KeyOrder { offset } => {
                write!(formatter, "key not larger than the one before at byte: {offset}")
            }
            Self::TooDeep { offset } => write!(formatter, "item nested too deeply at byte: {offset}"),
            Self::Missing { field } => write!(formatter, "field is missing: {field}"),
            Self::Length { field, expected } => {
                write!(formatter, "{field} is not as long as it must be: {expected}")
            }
            Self::TooMany { field, limit } => write!(formatter, "{field} has more entries than fit: {limit}"),
            Self::Variant { field, number } => write!(formatter, "{field} has an unknown number: {number}"),
            Self::Trailing { length } => write!(formatter, "bytes behind the config: {length}"),
        }
    }
}

impl core::error::Error for DecodeError {}
