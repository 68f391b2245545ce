//! A bridge: this broker as the client of another one, in the words and with the meaning of mosquitto.conf(5).
#![cfg_attr(not(test), expect(dead_code, reason = "not yet part of a broker's work"))]

mod backoff;
mod connect;
mod level;
mod link;
mod settings;
mod state;
mod topics;

pub use settings::{BridgePassword, BridgeSettings, BridgeTopic, Direction};
pub use state::{BridgeFailure, BridgeState};
