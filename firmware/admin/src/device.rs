//! The device's end: opening requests, sealing replies, handing out permits.

use alloc::vec::Vec;

use crate::{
    frame::Kind,
    message::{Reply, Request},
    seal::{self, Exchange, OpenError},
};

/// What the device seals replies with, from one start to the next.
#[derive(Clone, Copy, Debug)]
pub struct Sealer {
    seed: u64,
    /// Replies sealed.
    replies: u32,
    /// Writes tried.
    writes: u32,
}

/// A request that was opened, to which one reply can be sealed.
pub struct Opened<'a> {
    /// What is asked for; `None` is something that only a newer program knows.
    pub request: Option<Request<'a>>,
    /// What the reply is tied to.
    pub origin: Origin,
}

/// Where a reply is to go.
#[derive(Clone, Copy)]
pub struct Origin(Exchange);

impl Sealer {
    /// `seed` should be another one at each start.
    pub const fn new(seed: u64) -> Self {
        Self { seed, replies: 0, writes: 0 }
    }

    /// The frame of the reply to a request that was opened with the same key.
    pub fn seal(&mut self, reply: &Reply, key: &[u8; 32], origin: &Origin) -> Vec<u8> {
        let mut frame = seal::begin();
        reply.write(&mut frame);
        self.replies = self.replies.wrapping_add(1);
        let nonce = seal::reply_nonce(key, self.seed, self.replies, &origin.0, &frame);
        seal::seal(Kind::Reply, frame, key, &nonce, Some(&origin.0))
    }

    /// What the next write must bring along, on a device whose highest sequence is `base`.
    pub fn permit(&self, key: &[u8; 32], base: u32) -> u64 {
        seal::permit(key, self.seed, self.writes, base)
    }

    /// Ends the permit, since a write was tried.
    pub const fn used(&mut self) {
        self.writes = self.writes.wrapping_add(1);
    }
}

/// Opens a request in place.
///
/// # Errors
///
/// [`OpenError`]; the bytes are of no use then.
pub fn open<'a>(frame: &'a mut [u8], key: &[u8; 32]) -> Result<Opened<'a>, OpenError> {
    let origin = Exchange::of(frame).map(Origin).ok_or(OpenError::NotAFrame)?;
    let request = Request::read(seal::open(Kind::Request, frame, key, None)?);
    Ok(Opened { request, origin })
}
