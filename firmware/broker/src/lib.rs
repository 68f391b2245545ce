//! MQTT 3.1.1 broker core for very small memories: takes bytes and time, gives back bytes and a deadline.
//!
//! Implements the server's side of the OASIS standard MQTT 3.1.1 (mqtt-v3.1.1-os), over TCP and WebSocket, accepts
//! clients of MQTT 3.1, and is the client of other brokers in [`BridgeSettings`]' words. Which normative statement is
//! shown by which test stands in `CONFORMANCE.md`.
//!
//! # The way of a message
//!
//! ```text
//! Received -> [websocket] -> assembler -> packet -> routing --+-> retained
//!                                                             |
//!            permission says who may                          +-> each session: traffic (waits, in flight)
//!            room says whether there is memory                +-> bridges, under their topics
//!                                                                        |
//! Sent ------------------------------------------------------> pump -> outbox -> Send, in parts
//! ```
//!
//! A message is stored once, as the packet that most subscribers get ([`Bytes`] shares it); what waits for a client is a
//! reference with QoS and flags. The pump hands out as much as [`Network`] allows, to every connection in its turn, so
//! that neither a fan-out nor a slow reader takes the memory of the network stack.
//!
//! A session lives with its connection, or in the list of those away. `room` refuses growth while memory is short;
//! every refusal has a counter, which `$SYS` shows.
//!
//! Left out: retained messages and sessions are in memory only; the caller may keep retained messages
//! ([`Broker::save_next`]), sessions end with the power. MQTT 3.1 clients that set DUP where 3.1.1 forbids it are refused.
//!
//! The caller owns sockets and clock. It tells the [`Broker`] what happened with [`Broker::handle`], does what
//! [`Broker::poll_output`] says until that is empty, and sends [`Input::Tick`] at [`Broker::poll_at`].
//!
//! ```
//! use espbroker_broker::{
//!     Anonymous, Broker, ConnectionId, Input, Instant, NoAccounts, Output, Settings, Transport,
//! };
//!
//! let settings = Settings { anonymous: Anonymous::Allowed, system_interval: 0, ..Settings::default() };
//! let mut broker = Broker::new(settings, NoAccounts);
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
mod accounts;
mod acknowledge;
mod assembler;
mod bridge;
mod bridges;
mod broker;
mod bytes;
mod connect;
mod connection;
mod counters;
mod event;
mod fan_out;
mod log_in_guard;
mod message;
mod outbox;
mod own;
mod packed;
mod permission;
mod plain;
mod pump;
mod replay;
mod retained;
mod room;
mod routing;
mod session;
mod settings;
mod shared;
mod store;
mod subscribe;
mod subscriptions;
mod system;
mod table;
mod time;
mod traffic;
mod unwrap;
mod websocket;

pub use access::{Access, LogIn, NoAccounts, Permission, Rights, UserId};
pub use bridge::{BridgeFailure, BridgePassword, BridgeSettings, BridgeState, BridgeTopic, Direction};
pub use broker::Broker;
pub use bytes::Bytes;
pub use counters::{Closed, Counters};
pub use event::{BridgeId, CloseReason, ConnectionId, Input, OpenFailure, Output, Transport};
pub use own::OwnMessage;
pub use settings::{Anonymous, Network, Settings};
pub use store::{Saving, Unsaved};
pub use time::Instant;
pub use websocket::WebSocketError;
