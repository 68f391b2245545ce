//! The inside of a frame: keys of the two directions, encryption and authentication.
//!
//! The cipher compares tags in constant time; nothing here looks at the message before that.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::frame::{self, HEADER_LENGTH, Kind, Plain};

/// Bytes of a nonce.
pub const NONCE_LENGTH: usize = 24;
pub(crate) const TAG_LENGTH: usize = 16;
/// Bytes before the message.
pub(crate) const MESSAGE: usize = HEADER_LENGTH + NONCE_LENGTH;

pub(crate) type Nonce = [u8; NONCE_LENGTH];
type Tag = [u8; TAG_LENGTH];
/// Half a block of SHA-256 each, so that label and key fill one.
type Label = [u8; 32];

const REQUEST_LABEL: Label = *b"espbroker admin v1: request     ";
const REPLY_LABEL: Label = *b"espbroker admin v1: reply       ";
const NONCE_LABEL: Label = *b"espbroker admin v1: reply nonce ";
const PERMIT_LABEL: Label = *b"espbroker admin v1: permit      ";

/// Why a frame gives no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not a whole frame of the kind that was expected.
    NotAFrame,
    /// Not sealed with this key, changed on the way, or the reply to another request.
    NotAuthentic,
    /// Authentic, and not a message that this program knows.
    Message,
    /// The other side does not speak under the key, for this reason. Nobody vouches for it.
    Plain(Plain),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFrame => formatter.write_str("not a frame of the administration"),
            Self::NotAuthentic => formatter.write_str("not sealed with this key for this request"),
            Self::Message => formatter.write_str("a message of an unknown kind"),
            Self::Plain(plain) => plain.fmt(formatter),
        }
    }
}

impl core::error::Error for OpenError {}

/// What ties a reply to its request: the request's nonce and tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    nonce: Nonce,
    tag: Tag,
}

impl Exchange {
    /// Of a request, which is tied to nothing.
    const NONE: Self = Self { nonce: [0; NONCE_LENGTH], tag: [0; TAG_LENGTH] };

    pub(crate) fn of(request: &[u8]) -> Option<Self> {
        let (_, body) = frame::body(request, Kind::Request)?;
        let (nonce, rest) = body.split_first_chunk()?;
        let (_, tag) = rest.split_last_chunk()?;
        Some(Self { nonce: *nonce, tag: *tag })
    }

    fn additional_data(
        &self,
        header: [u8; HEADER_LENGTH],
    ) -> [u8; HEADER_LENGTH + NONCE_LENGTH + TAG_LENGTH] {
        let mut data = [0; HEADER_LENGTH + NONCE_LENGTH + TAG_LENGTH];
        let all = header.iter().chain(&self.nonce).chain(&self.tag);
        data.iter_mut().zip(all).for_each(|(place, byte)| *place = *byte);
        data
    }
}

/// The admin key's descendant for one direction.
fn cipher(kind: Kind, admin_key: &[u8; 32]) -> XChaCha20Poly1305 {
    let label = if kind == Kind::Request { REQUEST_LABEL } else { REPLY_LABEL };
    let key: Zeroizing<[u8; 32]> =
        Zeroizing::new(Sha256::new().chain_update(label).chain_update(admin_key).finalize().into());
    XChaCha20Poly1305::new((&*key).into())
}

/// Room for header and nonce, behind which the message is to be written.
pub(crate) fn begin() -> Vec<u8> {
    Vec::from([0; MESSAGE])
}

/// Makes a frame of what was written behind [`begin`].
pub(crate) fn seal(
    kind: Kind,
    mut frame: Vec<u8>,
    admin_key: &[u8; 32],
    nonce: &Nonce,
    to: Option<&Exchange>,
) -> Vec<u8> {
    let header = frame::header(kind, frame.len() - HEADER_LENGTH + TAG_LENGTH);
    let data = to.unwrap_or(&Exchange::NONE).additional_data(header);
    let Some((front, message)) = frame.split_first_chunk_mut::<MESSAGE>() else { return frame };
    front.iter_mut().zip(header.iter().chain(nonce)).for_each(|(place, byte)| *place = *byte);
    // Fails only for messages of more than 256 GiB.
    if let Ok(tag) = cipher(kind, admin_key).encrypt_inout_detached(nonce.into(), &data, message.into()) {
        frame.extend_from_slice(&tag);
    }
    frame
}

/// Opens a frame in place; what is left is the message.
pub(crate) fn open<'a>(
    kind: Kind,
    frame: &'a mut [u8],
    admin_key: &[u8; 32],
    to: Option<&Exchange>,
) -> Result<&'a [u8], OpenError> {
    let (header, _) = frame::body(frame, kind).ok_or(OpenError::NotAFrame)?;
    let data = to.unwrap_or(&Exchange::NONE).additional_data(*header);
    let (front, rest) = frame.split_first_chunk_mut::<MESSAGE>().ok_or(OpenError::NotAFrame)?;
    let (_, nonce) = front.split_last_chunk::<NONCE_LENGTH>().ok_or(OpenError::NotAFrame)?;
    let (message, tag) = rest.split_last_chunk_mut::<TAG_LENGTH>().ok_or(OpenError::NotAFrame)?;
    cipher(kind, admin_key)
        .decrypt_inout_detached(nonce.into(), &data, (&mut *message).into(), (&*tag).into())
        .map_err(|_| OpenError::NotAuthentic)?;
    Ok(message)
}

/// A nonce for a reply whose message stands behind [`begin`] in `frame`.
pub(crate) fn reply_nonce(
    admin_key: &[u8; 32],
    seed: u64,
    count: u32,
    exchange: &Exchange,
    frame: &[u8],
) -> Nonce {
    let hash = Sha256::new()
        .chain_update(NONCE_LABEL)
        .chain_update(admin_key)
        .chain_update(seed.to_le_bytes())
        .chain_update(count.to_le_bytes())
        .chain_update(exchange.nonce)
        .chain_update(exchange.tag)
        .chain_update(frame.get(MESSAGE..).unwrap_or_default());
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// The permit of a device in this state.
pub(crate) fn permit(admin_key: &[u8; 32], seed: u64, count: u32, base: u32) -> u64 {
    let hash = Sha256::new()
        .chain_update(PERMIT_LABEL)
        .chain_update(admin_key)
        .chain_update(seed.to_le_bytes())
        .chain_update(count.to_le_bytes())
        .chain_update(base.to_le_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
