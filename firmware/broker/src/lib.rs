//! MQTT 3.1.1 broker core for very small memories: takes bytes and time, gives back bytes and a deadline.
//!
//! Implements the server's side of the OASIS standard MQTT 3.1.1 (mqtt-v3.1.1-os), and accepts clients of MQTT
//! 3.1. Messages of QoS 0, 1 and 2 are taken from publishers; every subscription is granted QoS 0, which §3.8.4
//! allows, and sessions end with their connection, so that session present is always 0.
//!
//! The caller owns sockets and clock. It tells the [`Broker`] what happened with [`Broker::handle`], does what
//! [`Broker::poll_output`] says until that is empty, and sends [`Input::Tick`] at [`Broker::poll_at`].
//!
//! ```
//! use espbroker_broker::{
//!     Access, Anonymous, Broker, ConnectionId, Input, Instant, LogIn, Output, Settings, Transport,
//! };
//!
//! struct NoUsers;
//! impl Access for NoUsers {
//!     fn log_in(&self, _: &str, _: Option<&[u8]>) -> LogIn {
//!         LogIn::UnknownUser
//!     }
//! }
//!
//! let mut broker = Broker::new(Settings { anonymous: Anonymous::Allowed, ..Settings::default() }, NoUsers);
//! let (connection, now) = (ConnectionId(7), Instant(0));
//! broker.handle(Input::Accepted { connection, transport: Transport::Tcp }, now);
//! let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
//! broker.handle(Input::Received { connection, bytes: connect }, now);
//! let Some(Output::Send { connection, bytes }) = broker.poll_output() else { panic!() };
//! assert_eq!(&bytes[..], b"\x20\x02\x00\x00");
//! broker.handle(Input::Sent { connection, bytes: bytes.len() }, now);
//! assert_eq!(broker.poll_output(), None);
//! assert_eq!(broker.poll_at(), Some(Instant(10_000)));
//! ```
#![no_std]

extern crate alloc;

mod access;
mod assembler;
mod bridge;
mod broker;
mod bytes;
mod connect;
mod connection;
mod counters;
mod event;
mod outbox;
mod retained;
mod routing;
mod session;
mod settings;
mod subscribe;
mod subscriptions;
mod time;
mod websocket;

pub use access::{Access, LogIn};
pub use bridge::{BridgeFailure, BridgePassword, BridgeSettings, BridgeState, BridgeTopic, Direction};
pub use broker::Broker;
pub use bytes::Bytes;
pub use counters::{Closed, Counters};
pub use event::{BridgeId, CloseReason, ConnectionId, Input, OpenFailure, Output, Transport};
pub use settings::{Anonymous, Settings};
pub use time::Instant;
pub use websocket::WebSocketError;
