//! A bridge: this broker as the client of another one, in the words and with the meaning of mosquitto.conf(5).
//!
//! Everything here is apart from sessions and connections: what a bridge carries where ([`topics`]), when it connects
//! and how it knows that it still is ([`link`], [`backoff`], [`level`]), what it says then ([`connect`]), how it drops
//! its own messages when the other broker sends them back ([`echo`]), and how those are stopped that go round over
//! several bridges ([`circle`]).
//!
//! Left out: several addresses with `round_robin`, `start_type` other than automatic, MQTT 5 and with it topic
//! aliases, `bridge_attempt_unsubscribe` (a persistent session on the other broker may still hold subscriptions of an
//! older setting: what comes for them is dropped, see [`topics::TopicMap::incoming`]).

mod backoff;
pub(crate) mod circle;
pub(crate) mod connect;
pub(crate) mod echo;
mod hash;
pub(crate) mod level;
pub(crate) mod link;
mod settings;
mod state;
pub(crate) mod topics;

pub use settings::{BridgePassword, BridgeSettings, BridgeTopic, Direction};
pub use state::{BridgeFailure, BridgeState};
