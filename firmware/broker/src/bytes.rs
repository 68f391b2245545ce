//! [`Bytes`]: outbound bytes, short ones held in place and long ones shared by everyone they go to.

use alloc::{rc::Rc, vec::Vec};
use core::{fmt, ops::Deref};

use espbroker_mqtt::{EncodeError, Packet};

/// Length up to which bytes are kept without an allocation: an acknowledgement behind a WebSocket header fits, and so
/// does what precedes the topic of any PUBLISH.
pub(crate) const INLINE: usize = 11;

/// A whole control packet, several of them, or a part of one. Cloning it never copies a long one.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
    Grown(Rc<Vec<u8>>),
    Shared { bytes: Rc<[u8]>, start: u16, end: u16 },
}

impl Bytes {
    /// Encodes `packet` behind `prefix`, without an allocation if both are short.
    pub(crate) fn encode(prefix: &[u8], packet: &Packet<'_>) -> Result<Self, EncodeError> {
        let length = prefix.len() + packet.encoded_length()?;
        if length > INLINE {
            let mut shared: Rc<[u8]> = core::iter::repeat_n(0, length).collect();
            // Nobody else has it yet, so this is always `Some`.
            if let Some((front, rest)) =
                Rc::get_mut(&mut shared).and_then(|all| all.split_at_mut_checked(prefix.len()))
            {
                front.copy_from_slice(prefix);
                packet.encode_to_slice(rest)?;
            }
            return Ok(shared.into());
        }
        let mut bytes = [0; INLINE];
        let (front, rest) = bytes.split_at_mut_checked(prefix.len()).ok_or(EncodeError::BufferTooSmall)?;
        front.copy_from_slice(prefix);
        packet.encode_to_slice(rest)?;
        let length = u8::try_from(length).map_err(|_| EncodeError::BufferTooSmall)?;
        Ok(Self(Repr::Inline { length, bytes }))
    }

    /// Copies `parts`, in place if they are short together.
    pub(crate) fn join(parts: [&[u8]; 2]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = [0; INLINE];
        match u8::try_from(length) {
            Ok(short) if length <= INLINE => {
                let all = parts.iter().flat_map(|part| part.iter());
                bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = *byte);
                Self(Repr::Inline { length: short, bytes })
            }
            _ => match parts {
                [whole, []] => Rc::<[u8]>::from(whole).into(),
                _ => Rc::<[u8]>::from(parts.concat()).into(),
            },
        }
    }

    /// How many they are. Quicker than through the bytes themselves.
    #[inline(always)]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline { length, .. } => usize::from(*length),
            Repr::Grown(grown) => grown.len(),
            // `end` is never less, nor beyond the bytes.
            Repr::Shared { start, end, .. } => usize::from(end.wrapping_sub(*start)),
        }
    }

    /// Are they none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that [`Self::append`] takes for so many; `None` if these are shared with others.
    pub(crate) fn growth(&self, more: usize) -> Option<usize> {
        let (length, capacity) = match &self.0 {
            Repr::Inline { length, .. } => (usize::from(*length), INLINE),
            Repr::Grown(grown) if Rc::strong_count(grown) == 1 => (grown.len(), grown.capacity()),
            Repr::Grown(_) | Repr::Shared { .. } => return None,
        };
        Some(if length + more <= capacity { 0 } else { length + more + length / 2 })
    }

    /// Appends to bytes that are not shared.
    pub(crate) fn append(&mut self, more: &[u8]) {
        let growth = self.growth(more.len()).unwrap_or_default();
        match &mut self.0 {
            Repr::Inline { length, bytes } if growth == 0 => {
                let end = usize::from(*length) + more.len();
                if let (Some(free), Ok(end)) = (bytes.get_mut(usize::from(*length)..end), u8::try_from(end)) {
                    free.copy_from_slice(more);
                    *length = end;
                }
            }
            Repr::Inline { .. } => {
                let mut grown = Vec::with_capacity(growth);
                grown.extend_from_slice(self);
                grown.extend_from_slice(more);
                self.0 = Repr::Grown(Rc::new(grown));
            }
            Repr::Grown(grown) => {
                if let Some(grown) = Rc::get_mut(grown) {
                    grown.reserve_exact(growth.saturating_sub(grown.len()));
                    grown.extend_from_slice(more);
                }
            }
            Repr::Shared { .. } => {}
        }
    }

    /// The bytes from `start` to `end` of what others hold as well.
    ///
    /// A packet is never longer than [`crate::Settings::packet_size`], which is at most 65,535.
    pub(crate) fn part(bytes: &Rc<[u8]>, start: usize, end: usize) -> Self {
        let position = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        Self(Repr::Shared { bytes: Rc::clone(bytes), start: position(start), end: position(end) })
    }
}

/// Encodes `packet` in one allocation that can be shared.
pub(crate) fn encode_shared(packet: &Packet<'_>) -> Result<Rc<[u8]>, EncodeError> {
    let mut shared: Rc<[u8]> = core::iter::repeat_n(0, packet.encoded_length()?).collect();
    // Nobody else has it yet, so this is always `Some`.
    if let Some(buffer) = Rc::get_mut(&mut shared) {
        packet.encode_to_slice(buffer)?;
    }
    Ok(shared)
}

impl From<Rc<[u8]>> for Bytes {
    #[inline]
    fn from(bytes: Rc<[u8]>) -> Self {
        // No packet that goes out is longer than 65,535 bytes.
        let [low, high, ..] = bytes.len().to_le_bytes();
        let end = u16::from_le_bytes([low, high]);
        Self(Repr::Shared { bytes, start: 0, end })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => bytes.get(..usize::from(*length)),
            Repr::Grown(grown) => return grown,
            Repr::Shared { bytes, start, end } => bytes.get(usize::from(*start)..usize::from(*end)),
        }
        .unwrap_or_default()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.escape_ascii())
    }
}
