//! Talks to the ESP8266's serial loader.
pub mod protocol;
pub mod slip;
pub mod transport;
