//! The UDP ports through which the device is found.
//!
//! One datagram waits at a time, in lwIP's own buffer: what comes while it does, or is longer than any question, is dropped,
//! as the network may do too. A port that cannot be had is done without: a device works unfound too. The group of multicast
//! DNS is joined on every interface that gets an address, where lwIP has multicast: the vendor's has, and the emulated
//! board's, to which no multicast would come, has not.

use alloc::vec::Vec;
use core::{
    ffi::c_void,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    ptr,
};

use espbroker_node::discovery::{Channel, MDNS_GROUP};

use crate::{
    bindings::{
        Address, Pbuf, UdpPcb, espbroker_udp_join, espbroker_udp_open, espbroker_udp_send, pbuf_copy_partial,
        pbuf_free,
    },
    callbacks::wake,
    single::Single,
};

/// Bytes of the longest question that is looked at.
const DATAGRAM: u16 = 512;

/// The ports.
pub(crate) static DATAGRAMS: Single<Datagrams> =
    Single::new(Datagrams { ports: [ptr::null_mut(); 2], waiting: None });

/// Ports, by [`Channel`], null for one that could not be had; and what came in.
pub(crate) struct Datagrams {
    ports: [*mut UdpPcb; 2],
    waiting: Option<Waiting>,
}

/// A datagram that the device has not heard of.
struct Waiting {
    channel: Channel,
    from: SocketAddrV4,
    pbuf: *mut Pbuf,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: lwIP has given this buffer away, and it is used nowhere else.
        unsafe { pbuf_free(self.pbuf) };
    }
}

/// A datagram as the device takes it.
pub(crate) struct Datagram {
    pub(crate) channel: Channel,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

const CHANNELS: [Channel; 2] = [Channel::Probe, Channel::Mdns];

const fn index(channel: Channel) -> usize {
    match channel {
        Channel::Probe => 0,
        Channel::Mdns => 1,
    }
}

impl Datagrams {
    /// Opens the ports.
    pub(crate) fn open(&mut self) {
        for (number, (port, channel)) in self.ports.iter_mut().zip(CHANNELS).enumerate() {
            // SAFETY: the callback is there for ever, and its argument is a number.
            *port = unsafe {
                espbroker_udp_open(channel.port(), Some(arrived), ptr::without_provenance_mut(number))
            };
        }
    }

    /// Whether a datagram waits.
    pub(crate) const fn has_news(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the datagram that waits; one for which there are not `room` bytes is dropped.
    pub(crate) fn take(&mut self, room: u32) -> Option<Datagram> {
        let waiting = self.waiting.take()?;
        // SAFETY: a chain that lwIP has given to this port.
        let length = unsafe { (*waiting.pbuf).total_length };
        // An answer is no longer than a question, or a few hundred bytes.
        if room < 2 * u32::from(DATAGRAM) {
            return None;
        }
        let mut bytes = Vec::new();
        bytes.resize(usize::from(length), 0);
        // SAFETY: as above; the bytes are that many.
        unsafe { pbuf_copy_partial(waiting.pbuf, bytes.as_mut_ptr().cast(), length, 0) };
        Some(Datagram { channel: waiting.channel, from: SocketAddr::V4(waiting.from), bytes })
    }

    fn port(&self, channel: Channel) -> Option<*mut UdpPcb> {
        self.ports.get(index(channel)).copied().filter(|port| !port.is_null())
    }
}

/// Sends a datagram; one that cannot be sent is lost.
pub(crate) fn send(channel: Channel, to: SocketAddr, bytes: &[u8]) {
    // Not while the ports are in use: lwIP may call back from within.
    let port = DATAGRAMS.use_it().port(channel);
    if let (SocketAddr::V4(to), Some(port), Ok(length)) = (to, port, u16::try_from(bytes.len())) {
        // SAFETY: a port that lwIP has; it copies address and bytes.
        unsafe { espbroker_udp_send(port, &to.ip().octets(), to.port(), bytes.as_ptr().cast(), length) };
    }
}

/// Joins the group of multicast DNS on the interface with this address.
pub(crate) fn join(own: IpAddr) {
    if let IpAddr::V4(own) = own {
        // SAFETY: lwIP copies both.
        unsafe { espbroker_udp_join(&own.octets(), &MDNS_GROUP.octets()) };
    }
}

/// A datagram came in. The argument is the number of the port.
extern "C" fn arrived(
    argument: *mut c_void,
    _: *mut UdpPcb,
    pbuf: *mut Pbuf,
    address: *const Address,
    port: u16,
) {
    // SAFETY: null, or lwIP's own, valid during the call.
    let (length, address) = unsafe { (pbuf.as_ref().map(|pbuf| pbuf.total_length), address.as_ref()) };
    let mut datagrams = DATAGRAMS.use_it();
    match (length, address, CHANNELS.get(argument.addr())) {
        (Some(..=DATAGRAM), Some(Address(from)), Some(&channel)) if datagrams.waiting.is_none() => {
            datagrams.waiting =
                Some(Waiting { channel, from: SocketAddrV4::new((*from).into(), port), pbuf });
        }
        (Some(_), ..) => {
            // SAFETY: lwIP has given this buffer away, and nobody takes it.
            unsafe { pbuf_free(pbuf) };
        }
        (None, ..) => {}
    }
    drop(datagrams);
    wake();
}
