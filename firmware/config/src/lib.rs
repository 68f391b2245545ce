//! Flash map, config partition and image descriptor: the formats that the device owns and the host obeys.
//!
//! Data flow on the device: two flash sectors -> [`slots`] (which one is valid and newest) -> [`codec`] (CBOR) ->
//! [`model::Config`] -> [`validate`]. On the host the same types go the other way, so that no second description
//! of the format exists. [`image`] finds and checks the descriptor that every firmware image carries.
//!
//! Left out on purpose: encryption. The ESP8266 has no flash encryption; whoever holds the board reads its flash.
#![no_std]

extern crate alloc;

pub mod codec;
pub mod crc;
pub mod defaults;
pub mod flash_map;
pub mod image;
pub mod model;
pub mod password;
pub mod secret;
pub mod slots;
pub mod validate;
pub mod wifi;
pub mod words;
