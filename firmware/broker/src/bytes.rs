//! [`Bytes`]: one outbound control packet, encoded once and shared by everyone it goes to.

use alloc::rc::Rc;
use core::{fmt, ops::Deref};

use espbroker_mqtt::{EncodeError, Packet};

/// Length up to which a packet is kept without an allocation; every acknowledgement fits.
const INLINE: usize = 7;

/// An encoded control packet. Cloning it never copies a long one.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Rc<[u8]>),
}

impl Bytes {
    /// Encodes `packet`, without an allocation if it is short.
    pub(crate) fn encode(packet: &Packet<'_>) -> Result<Self, EncodeError> {
        let mut bytes = [0; INLINE];
        match packet.encoded_length()? {
            0..=INLINE => {
                let length = packet.encode_to_slice(&mut bytes)?;
                let length = u8::try_from(length).map_err(|_| EncodeError::BufferTooSmall)?;
                Ok(Self(Repr::Inline { length, bytes }))
            }
            _ => encode_shared(packet).map(Self::from),
        }
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
    fn from(shared: Rc<[u8]>) -> Self {
        Self(Repr::Shared(shared))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Repr::Shared(shared) => shared,
        }
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
