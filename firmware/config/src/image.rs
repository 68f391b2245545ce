//! The descriptor that every espbroker image carries, and the digest that proves what is in flash.
//!
//! Layout, 128 bytes, little-endian, 4-byte aligned anywhere in the image:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `EBimage\x01` |
//! | 8 | 1 | target: 1 ESP8266, 2 virtual, 3 emulated board |
//! | 9 | 1 | flash map number |
//! | 10 | 2 | zero |
//! | 12 | 4 | length of the whole image in bytes |
//! | 16 | 32 | name, UTF-8, zero padded |
//! | 48 | 32 | version, UTF-8, zero padded |
//! | 80 | 32 | SHA-256 of the image with these 32 bytes and the CRC as zeros |
//! | 112 | 12 | zero |
//! | 124 | 4 | CRC-32 (IEEE) of bytes 0-123 |
//!
//! The CRC makes a stray copy of the magic (in code that searches for it) harmless.

use alloc::string::String;

use crate::flash_map::FlashMap;

/// Which machine an image was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// A real ESP8266.
    Esp8266 = 1,
    /// The virtual ESP8266 of this project.
    Virtual = 2,
    /// The emulated development board.
    EmulatedBoard = 3,
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Machine.
    pub target: Target,
    /// Flash map.
    pub flash_map: FlashMap,
    /// Bytes of the whole image, from offset 0.
    pub length: u32,
    /// At most 32 bytes.
    pub name: String,
    /// At most 32 bytes.
    pub version: String,
    /// SHA-256 as laid down above.
    pub digest: [u8; 32],
}
