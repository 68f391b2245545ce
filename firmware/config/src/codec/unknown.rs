//! [`Unknown`]: the map entries that this version does not understand, kept for the ones that do.

use alloc::vec::Vec;
use core::fmt;

use minicbor::Decoder;

use super::{DecodeError, UNKNOWN_DEPTH_MAX};

/// Map entries with keys that this version does not know, as they were read.
///
/// Made by [`decode`](super::decode()), written back by [`encode`](super::encode()): a program that changes a config
/// carries them along. Held as one run of CBOR, since a vector for each entry would cost the chip many times what
/// the entries are long.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Key and value, key and value, keys ascending; every item well formed.
    pairs: Vec<u8>,
}

impl Unknown {
    /// Whether there is no such entry.
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.pairs().map(|(key, _)| key)
    }

    /// Every key with the bytes of its pair (key and value).
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, &[u8])> + Clone {
        let mut rest = self.pairs.as_slice();
        core::iter::from_fn(move || {
            let mut key = Decoder::new(rest);
            let number = key.u32().ok()?;
            let value_length = item_length(rest.get(key.position()..)?, UNKNOWN_DEPTH_MAX).ok()?;
            let (pair, after) = rest.split_at_checked(key.position() + value_length)?;
            rest = after;
            Some((number, pair))
        })
    }

    /// Takes over the pair whose key begins at `key_offset` and whose value begins where `input` stands.
    ///
    /// `input` stands behind the value afterwards.
    pub(super) fn take(&mut self, input: &mut Decoder<'_>, key_offset: usize) -> Result<(), DecodeError> {
        let offset = input.position();
        let value = input.input().get(offset..).unwrap_or_default();
        let length = item_length(value, UNKNOWN_DEPTH_MAX).map_err(|fault| match fault {
            Fault::Cut => DecodeError::Cut,
            Fault::Malformed => DecodeError::Malformed { offset },
            Fault::TooDeep => DecodeError::TooDeep { offset },
        })?;
        let end = offset + length;
        self.pairs.extend_from_slice(input.input().get(key_offset..end).ok_or(DecodeError::Cut)?);
        input.set_position(end);
        Ok(())
    }
}

// The values may be secrets of a newer version.
impl fmt::Debug for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unknown")?;
        formatter.debug_list().entries(self.keys()).finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    Malformed,
    TooDeep,
}

/// Bytes of the well-formed item that `bytes` begins with (RFC 8949 appendix C), at most `depth` containers deep.
///
/// Takes no more steps than there are bytes, whatever counts the items claim.
fn item_length(bytes: &[u8], depth: u8) -> Result<usize, Fault> {
    let (&head, rest) = bytes.split_first().ok_or(Fault::Cut)?;
    let (major, short) = (head >> 5, head & 0x1F);
    let argument_length = match short {
        0..=23 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(Fault::Malformed),
    };
    let argument = match rest.get(..argument_length).ok_or(Fault::Cut)? {
        [] => u64::from(short),
        bytes => bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    let head_length = 1 + argument_length;
    let items = match major {
        0 | 1 => 0,
        2 | 3 => {
            let length = usize::try_from(argument).ok().and_then(|length| length.checked_add(head_length));
            return length.filter(|length| *length <= bytes.len()).ok_or(Fault::Cut);
        }
        4 => argument,
        // Each entry is two items; more than u64 counts would not fit into memory.
        5 => argument.checked_mul(2).ok_or(Fault::Cut)?,
        6 => 1,
        // Two-byte simple values below 32 are not well formed (§3.3).
        _ if short == 24 && argument < 32 => return Err(Fault::Malformed),
        _ => 0,
    };
    let mut end = head_length;
    if items > 0 {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        for _ in 0..items {
            end += item_length(bytes.get(end..).ok_or(Fault::Cut)?, depth)?;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::{Fault, item_length};

    #[test]
    fn items_of_every_major_type_are_measured() {
        // RFC 8949 appendix A.
        let items: [&[u8]; 12] = [
            &[0x17],
            &[0x18, 0x18],
            &[0x1B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x39, 0x03, 0xE7],
            &[0x44, 1, 2, 3, 4],
            &[0x64, b'I', b'E', b'T', b'F'],
            &[0x83, 1, 0x82, 2, 3, 0x82, 4, 5],
            &[0xA2, 1, 2, 3, 4],
            &[0xC1, 0x1A, 0x51, 0x4B, 0x67, 0xB0],
            &[0xF9, 0x3C, 0x00],
            &[0xFB, 0x3F, 0xF1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9A],
            &[0xF8, 0xFF],
        ];
        for item in items {
            assert_eq!(item_length(item, 2), Ok(item.len()), "{item:02x?}");
            for cut in 0..item.len() {
                assert_eq!(item_length(&item[..cut], 2), Err(Fault::Cut), "{item:02x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_well_formed_or_has_no_length_is_refused() {
        for item in [&[0x1C][..], &[0x5F, 0xFF], &[0x9F, 0xFF], &[0xBF, 0xFF], &[0xFF], &[0xF8, 0x1F]] {
            assert_eq!(item_length(item, 2), Err(Fault::Malformed), "{item:02x?}");
        }
    }

    #[test]
    fn claimed_counts_cost_nothing() {
        for item in [
            &[0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF][..],
            &[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x5B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            assert_eq!(item_length(item, 2), Err(Fault::Cut));
        }
    }

    #[test]
    fn nesting_is_counted_to_its_bound() {
        assert_eq!(item_length(&[0x81, 0x81, 0], 2), Ok(3));
        assert_eq!(item_length(&[0x81, 0x81, 0x81, 0], 2), Err(Fault::TooDeep));
        assert_eq!(item_length(&[0x81, 0x81, 0x80], 2), Ok(3), "an empty container holds nothing deeper");
    }
}
