//! MQTT 3.1.1 control packets, topic names and topic filters, for `no_std` targets with `alloc`.
//!
//! Implements the OASIS standard MQTT 3.1.1 (mqtt-v3.1.1-os); a CONNECT may also carry the name and level of
//! MQTT 3.1 (`MQIsdp`, 3), and mosquitto's bridge bit. MQTT 5 is left out. Decoding borrows from the bytes it is
//! given and allocates nothing, accepts exactly what the standard allows, and names each violation with its own
//! [`Malformed`] variant. No input makes it panic.
//!
//! ```
//! use espbroker_mqtt::{Packet, Publish, Delivery, TopicName};
//!
//! let publish = Publish {
//!     topic: TopicName::new("a/b").unwrap(),
//!     payload: b"on",
//!     retain: false,
//!     delivery: Delivery::AtMostOnce,
//! };
//! let mut bytes = Vec::new();
//! Packet::Publish(publish).encode(&mut bytes).unwrap();
//! assert_eq!(bytes, b"\x30\x07\x00\x03a/bon");
//! assert_eq!(Packet::decode(&bytes), Ok(Packet::Publish(publish)));
//! ```
#![no_std]

extern crate alloc;

mod connack;
mod connect;
mod fixed_header;
mod malformed;
mod packet;
mod publish;
mod reader;
mod relation;
mod subscribe;
mod topic;
mod writer;

pub use connack::{Connack, ConnectReturnCode};
pub use connect::{Connect, Protocol, Will};
pub use fixed_header::{FixedHeader, PacketType, REMAINING_LENGTH_MAX};
pub use malformed::Malformed;
pub use packet::{Packet, PacketId};
pub use publish::{Delivery, Publish, QoS};
pub use relation::{filter_covers, filters_overlap};
pub use subscribe::{
    FilterList, ReturnCodes, Suback, SubackCode, Subscribe, Subscription, SubscriptionList, Unsubscribe,
};
pub use topic::{TopicError, TopicFilter, TopicName, filter_bytes_match, filter_matches};
pub use writer::EncodeError;
