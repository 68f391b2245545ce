//! [`Bytes`]: outbound bytes, short ones held in place and long ones shared by everyone they go to.

use alloc::rc::Rc;
use core::{fmt, ops::Deref};

use espbroker_mqtt::{EncodeError, Packet};

/// Length up to which bytes are kept without an allocation: an acknowledgement behind a WebSocket header fits, and so
/// does what precedes the topic of any PUBLISH.
pub(crate) const INLINE: usize = 11;

/// A whole control packet or a part of one. Cloning it never copies a long one.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
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
            _ => Rc::<[u8]>::from(parts.concat()).into(),
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
    fn from(bytes: Rc<[u8]>) -> Self {
        let end = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        Self(Repr::Shared { bytes, start: 0, end })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => bytes.get(..usize::from(*length)),
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
