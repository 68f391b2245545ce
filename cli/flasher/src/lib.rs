//! Talks to the ESP8266's serial loader.
pub mod transport;
