//! MQTT 3.1.1 statement by statement: bytes in, bytes out, with a clock that only the test moves.
//!
//! `CONFORMANCE.md` says which test shows which statement; many are shown by the tests of the broker's rules.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod format;
#[cfg(test)]
mod ordering;
#[cfg(test)]
mod packets;
#[cfg(test)]
mod publishing;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of the rules may need more of it")]
#[path = "../rules/script.rs"]
mod script;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod subscribing;
#[cfg(test)]
mod table;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod wills;
