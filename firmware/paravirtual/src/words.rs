//! The parts that orders and news are made of: little-endian numbers, and bytes behind their length.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use espbroker_node::{discovery::Channel, status::Service};

/// The bytes are none of what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("malformed")
    }
}

impl core::error::Error for Malformed {}

/// Writes into a span; what finds no room is remembered and not written.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    length: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, length: 0, full: false }
    }

    /// How many bytes were written; `None` when they found no room.
    pub(crate) fn length(&self) -> Option<usize> {
        (!self.full).then_some(self.length)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.length..).and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.full = true,
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    pub(crate) fn half(&mut self, half: u16) {
        self.bytes(&half.to_le_bytes());
    }

    pub(crate) fn word(&mut self, word: u32) {
        self.bytes(&word.to_le_bytes());
    }

    /// Up to 255 bytes behind their number.
    pub(crate) fn short(&mut self, bytes: &[u8]) {
        match u8::try_from(bytes.len()) {
            Ok(length) => {
                self.byte(length);
                self.bytes(bytes);
            }
            Err(_) => self.full = true,
        }
    }

    pub(crate) fn ip(&mut self, ip: IpAddr) {
        // The device speaks IPv4 on every platform.
        let IpAddr::V4(ip) = ip else {
            self.full = true;
            return;
        };
        self.bytes(&ip.octets());
    }

    pub(crate) fn address(&mut self, address: SocketAddr) {
        self.ip(address.ip());
        self.half(address.port());
    }
}

/// Reads from a span.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// All that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left.
    pub(crate) const fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn half(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn word(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn short(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    pub(crate) fn ip(&mut self) -> Result<IpAddr, Malformed> {
        self.array().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into())
    }

    pub(crate) fn address(&mut self) -> Result<SocketAddr, Malformed> {
        Ok(SocketAddr::new(self.ip()?, self.half()?))
    }

    /// One of the values of an enum, by its place among them.
    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> Result<T, Malformed> {
        let place = self.byte()?;
        values.get(usize::from(place)).copied().ok_or(Malformed)
    }
}

/// The place of a value among all of its enum.
pub(crate) fn place<T: PartialEq>(values: &[T], value: &T) -> u8 {
    let place = values.iter().position(|other| other == value);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

/// Services by their number.
pub(crate) const SERVICES: &[Service] = &[Service::Mqtt, Service::WebSocket];
/// Ports of discovery by their number.
pub(crate) const CHANNELS: &[Channel] = &[Channel::Probe, Channel::Mdns];
