//! Remote administration: reading and changing a device's config under its admin key, over the network or the serial
//! console. Sans-I/O, both ends; no clock and no randomness of its own.
//!
//! One request, one reply, each a frame. All numbers are little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `EBAD`; no MQTT, WebSocket or TLS client begins with an `E` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | kind: 1 request, 2 reply, 3 refusal in the clear |
//! | 6 | 2 | bytes that follow |
//! | 8 | 24 | nonce |
//! | 32 | .. | encrypted message, see [`Request`] and [`Reply`] |
//! | end - 16 | 16 | authentication tag |
//!
//! The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose nonce is long enough to be random. Additional
//! data is the first 8 bytes of the frame and 40 bytes more: zeros in a request; in a reply the nonce and the tag of the
//! request that it answers, so that no other reply fits. Each direction has a key of its own: SHA-256 of a label of 32
//! bytes and the admin key.
//!
//! A client draws the nonce of each request at random. The device, which may have no good randomness, takes 24 bytes of
//! SHA-256 over key, its seed of this start, a count, the request and the reply itself: should all the rest ever repeat,
//! a nonce comes again only with the very same reply.
//!
//! Kind 3 is what a device says that cannot speak under the key: one byte, [`Plain`]. It is no more to be believed than
//! a connection that is closed.
//!
//! **Replays.** A reply with the config or the state carries a *permit* of 8 bytes. A [`Request::Write`] must bring it
//! along, and it ends with that write and with the next start of the device. It must also name the highest sequence that
//! the device has ever given to a config, and every write raises that.
//!
//! Over the serial console the same frames travel as text, see [`console`].
#![no_std]

extern crate alloc;

pub mod client;
pub mod console;
pub mod device;
mod frame;
mod message;
mod seal;

pub use self::{
    frame::{FIRST_BYTE, FRAME_MAX, FrameError, FrameReader, Plain},
    message::{Effect, Refusal, Reply, Request, State, Trial},
    seal::{NONCE_LENGTH, OpenError},
};
