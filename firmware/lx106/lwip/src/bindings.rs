//! lwIP's raw API as C has it (`lwip/tcp.h`, `lwip/pbuf.h`, `lwip/dns.h`), and the few lines of C of `c/pcb.c` and
//! `c/datagrams.c`, which reach into structures that the versions lay out differently.
//!
//! Both versions agree on everything here but the width of `err_t` and the numbers of some errors.

use core::ffi::{c_char, c_void};

/// `err_t`.
#[cfg(not(feature = "vendor"))]
pub(crate) type Err = i8;
/// `err_t`: the vendor's compiler options make an `int` of it.
#[cfg(feature = "vendor")]
pub(crate) type Err = i32;

/// No error.
pub(crate) const ERR_OK: Err = 0;
/// No memory.
pub(crate) const ERR_MEM: Err = -1;
/// No route.
pub(crate) const ERR_ROUTE: Err = -4;
/// The answer comes later.
pub(crate) const ERR_IN_PROGRESS: Err = -5;
/// The port is taken.
#[cfg(not(feature = "vendor"))]
pub(crate) const ERR_USE: Err = -8;
/// The port is taken.
#[cfg(feature = "vendor")]
pub(crate) const ERR_USE: Err = -13;
/// The connection was aborted; also what a callback returns after it called `tcp_abort`.
#[cfg(not(feature = "vendor"))]
pub(crate) const ERR_ABORTED: Err = -13;
/// The connection was aborted; also what a callback returns after it called `tcp_abort`.
#[cfg(feature = "vendor")]
pub(crate) const ERR_ABORTED: Err = -8;
/// The peer has reset the connection.
#[cfg(not(feature = "vendor"))]
pub(crate) const ERR_RESET: Err = -14;
/// The peer has reset the connection.
#[cfg(feature = "vendor")]
pub(crate) const ERR_RESET: Err = -9;

/// `TCP_PRIO_MIN`: out of memory, lwIP ends connections of this priority first.
pub(crate) const PRIORITY_LOW: u8 = 1;
/// `TCP_PRIO_NORMAL`.
pub(crate) const PRIORITY_NORMAL: u8 = 64;

/// `struct tcp_pcb`, of which only lwIP and `c/pcb.c` know the inside.
#[repr(C)]
pub(crate) struct Pcb {
    opaque: [u8; 0],
}

/// `struct udp_pcb`, of which only lwIP and `c/datagrams.c` know the inside.
#[repr(C)]
pub(crate) struct UdpPcb {
    opaque: [u8; 0],
}

/// `ip_addr_t` without IPv6: the four bytes of an address in their order on the wire.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub(crate) struct Address(pub(crate) [u8; 4]);

/// The beginning of `struct pbuf`, which all versions share.
#[repr(C)]
pub(crate) struct Pbuf {
    pub(crate) next: *mut Pbuf,
    pub(crate) payload: *mut c_void,
    pub(crate) total_length: u16,
    pub(crate) length: u16,
}

pub(crate) type Accepted = extern "C" fn(*mut c_void, *mut Pcb, Err) -> Err;
pub(crate) type Received = extern "C" fn(*mut c_void, *mut Pcb, *mut Pbuf, Err) -> Err;
pub(crate) type Sent = extern "C" fn(*mut c_void, *mut Pcb, u16) -> Err;
pub(crate) type Polled = extern "C" fn(*mut c_void, *mut Pcb) -> Err;
pub(crate) type Failed = extern "C" fn(*mut c_void, Err);
pub(crate) type Connected = extern "C" fn(*mut c_void, *mut Pcb, Err) -> Err;
pub(crate) type Arrived = extern "C" fn(*mut c_void, *mut UdpPcb, *mut Pbuf, *const Address, u16);
pub(crate) type Found = extern "C" fn(*const c_char, *const Address, *mut c_void);

unsafe extern "C" {
    pub(crate) fn tcp_new() -> *mut Pcb;
    pub(crate) fn tcp_bind(pcb: *mut Pcb, address: *const Address, port: u16) -> Err;
    pub(crate) fn tcp_listen_with_backlog(pcb: *mut Pcb, backlog: u8) -> *mut Pcb;
    pub(crate) fn tcp_arg(pcb: *mut Pcb, argument: *mut c_void);
    pub(crate) fn tcp_accept(pcb: *mut Pcb, accepted: Option<Accepted>);
    pub(crate) fn tcp_recv(pcb: *mut Pcb, received: Option<Received>);
    pub(crate) fn tcp_sent(pcb: *mut Pcb, sent: Option<Sent>);
    pub(crate) fn tcp_poll(pcb: *mut Pcb, polled: Option<Polled>, half_seconds: u8);
    pub(crate) fn tcp_err(pcb: *mut Pcb, failed: Option<Failed>);
    pub(crate) fn tcp_recved(pcb: *mut Pcb, length: u16);
    pub(crate) fn tcp_output(pcb: *mut Pcb) -> Err;
    pub(crate) fn tcp_close(pcb: *mut Pcb) -> Err;
    pub(crate) fn tcp_abort(pcb: *mut Pcb);
    pub(crate) fn tcp_setprio(pcb: *mut Pcb, priority: u8);
    pub(crate) fn tcp_connect(
        pcb: *mut Pcb,
        address: *const Address,
        port: u16,
        connected: Option<Connected>,
    ) -> Err;
    pub(crate) fn pbuf_cat(head: *mut Pbuf, tail: *mut Pbuf);
    pub(crate) fn pbuf_free(pbuf: *mut Pbuf) -> u8;
    pub(crate) fn pbuf_copy_partial(pbuf: *const Pbuf, bytes: *mut c_void, length: u16, offset: u16) -> u16;
    pub(crate) fn dns_gethostbyname(
        name: *const c_char,
        address: *mut Address,
        found: Option<Found>,
        argument: *mut c_void,
    ) -> Err;

    /// Opens a UDP port on every address; null when that fails.
    pub(crate) fn espbroker_udp_open(
        port: u16,
        arrived: Option<Arrived>,
        argument: *mut c_void,
    ) -> *mut UdpPcb;
    /// Sends a copy of a datagram; 0 when it is lost.
    pub(crate) fn espbroker_udp_send(
        pcb: *mut UdpPcb,
        address: *const [u8; 4],
        port: u16,
        bytes: *const c_void,
        length: u16,
    ) -> i32;
    /// Joins a multicast group on the interface with an address.
    pub(crate) fn espbroker_udp_join(own: *const [u8; 4], group: *const [u8; 4]);

    /// Bounds the segments that a connection sends, and sends small ones at once.
    pub(crate) fn espbroker_pcb_set_up(pcb: *mut Pcb, segment: u16);
    /// `tcp_write` with a copy; a segment that it opens has room for `segment` bytes only, if those are fewer.
    pub(crate) fn espbroker_pcb_write(pcb: *mut Pcb, bytes: *const c_void, length: u16, segment: u16) -> Err;
}
