//! The client's end: sealing requests, opening replies.

use alloc::vec::Vec;

use crate::{
    frame::Kind,
    seal::{self, Exchange, NONCE_LENGTH},
};
pub use crate::{
    frame::{FrameReader, Plain},
    message::{Effect, Refusal, Reply, Request, State, Trial},
    seal::OpenError,
};

/// The frame of a request, under the device's admin key.
///
/// `nonce` must be random: another one for each frame that is ever sealed with this key.
pub fn seal(request: &Request<'_>, key: &[u8; 32], nonce: &[u8; NONCE_LENGTH]) -> Vec<u8> {
    let mut frame = seal::begin();
    request.write(&mut frame);
    seal::seal(Kind::Request, frame, key, nonce, None)
}

/// The reply to `request`, a frame that [`seal`] has made with the same key.
///
/// # Errors
///
/// [`OpenError`]; with [`OpenError::NotAuthentic`] the key is another one, or the frame answers another request.
pub fn open_reply(frame: &[u8], key: &[u8; 32], request: &[u8]) -> Result<Reply, OpenError> {
    if let Some(plain) = Plain::read(frame) {
        return Err(OpenError::Plain(plain));
    }
    let exchange = Exchange::of(request).ok_or(OpenError::NotAFrame)?;
    let mut frame = frame.to_vec();
    Reply::read(seal::open(Kind::Reply, &mut frame, key, Some(&exchange))?).ok_or(OpenError::Message)
}
