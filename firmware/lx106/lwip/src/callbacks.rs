//! The functions that lwIP calls: each takes a note in the [`NETWORK`] and returns.
//!
//! Their argument is a number, never a pointer: that of a connection plus one, of a service, or of an attempt to open a
//! connection. A number that nobody has any more finds nobody.

use core::{
    ffi::{c_char, c_void},
    ptr,
};

use espbroker_node::ConnectionId;

use crate::{
    bindings::{
        Address, ERR_ABORTED, ERR_OK, Err, Pbuf, Pcb, pbuf_free, tcp_abort, tcp_arg, tcp_close, tcp_recved,
    },
    connection::forget,
    single::Single,
    sockets::Sockets,
};

/// All connections, ports and attempts.
pub(crate) static NETWORK: Single<Sockets> = Single::new(Sockets::new());

/// What the board has asked to be called with news.
static WAKE: Single<Option<fn()>> = Single::new(None);

/// Has `wake` called, from within lwIP's callbacks, whenever [`Device::turn`](crate::Device::turn) has something to
/// carry. A board that goes round anyway needs none.
pub fn wake_by(wake: fn()) {
    *WAKE.use_it() = Some(wake);
}

pub(crate) fn wake() {
    let wake = *WAKE.use_it();
    if let Some(wake) = wake {
        wake();
    }
}

fn connection(argument: *mut c_void) -> Option<ConnectionId> {
    u16::try_from(argument.addr().checked_sub(1)?).ok().map(ConnectionId)
}

/// Ends a connection within one of its callbacks.
fn refuse(pcb: *mut Pcb) -> Err {
    forget(pcb);
    // SAFETY: lwIP is in a callback of this connection, and is told of its end by the result.
    unsafe { tcp_abort(pcb) };
    ERR_ABORTED
}

/// A client has connected to a port. The argument is the service's number.
pub(crate) extern "C" fn accepted(argument: *mut c_void, pcb: *mut Pcb, error: Err) -> Err {
    // Without memory for the connection lwIP calls with no `pcb`; the client tries again by itself.
    if pcb.is_null() || error != ERR_OK {
        return ERR_OK;
    }
    let taken = NETWORK.use_it().accept(argument.addr(), pcb);
    wake();
    if taken { ERR_OK } else { refuse(pcb) }
}

/// Bytes came in, or with no `pbuf` the end of them.
pub(crate) extern "C" fn received(argument: *mut c_void, _: *mut Pcb, pbuf: *mut Pbuf, _: Err) -> Err {
    let mut network = NETWORK.use_it();
    match connection(argument).and_then(|id| network.connection(id)) {
        Some(connection) if pbuf.is_null() => connection.push_end(),
        Some(connection) => connection.push_received(pbuf),
        None if pbuf.is_null() => {}
        None => {
            // SAFETY: lwIP has given this buffer away, and nobody takes it.
            unsafe { pbuf_free(pbuf) };
        }
    }
    drop(network);
    wake();
    ERR_OK
}

/// The peer has acknowledged bytes.
pub(crate) extern "C" fn sent(argument: *mut c_void, _: *mut Pcb, length: u16) -> Err {
    if let Some(id) = connection(argument) {
        NETWORK.use_it().acknowledged(id, length);
    }
    wake();
    ERR_OK
}

/// Half a second has gone by. A write that found no memory is tried again.
pub(crate) extern "C" fn polled(argument: *mut c_void, _: *mut Pcb) -> Err {
    let mut network = NETWORK.use_it();
    let waits = connection(argument).and_then(|id| network.connection(id)).is_some_and(|connection| {
        connection.push_time();
        connection.can_send()
    });
    drop(network);
    if waits {
        wake();
    }
    ERR_OK
}

/// lwIP has ended a connection and freed its side: reset by the peer, timed out, or sacrificed for memory.
pub(crate) extern "C" fn failed(argument: *mut c_void, _: Err) {
    if let Some(id) = connection(argument) {
        NETWORK.use_it().gone(id);
    }
    wake();
}

/// Ends a connection whose callbacks were taken away; resets it where there is no memory for that.
pub(crate) fn close(pcb: *mut Pcb) -> Err {
    // SAFETY: every caller has a connection that lwIP has as well, and no callback of it leads here any more.
    // `tcp_close` with an error leaves it as it was.
    if unsafe { tcp_close(pcb) } == ERR_OK {
        return ERR_OK;
    }
    // SAFETY: as above.
    unsafe { tcp_abort(pcb) };
    ERR_ABORTED
}

/// The client of a connection that the device has left ends it, or still sends something, which nobody wants.
pub(crate) extern "C" fn left(_: *mut c_void, pcb: *mut Pcb, pbuf: *mut Pbuf, _: Err) -> Err {
    // SAFETY: null, or a chain that lwIP has given away.
    if let Some(head) = unsafe { pbuf.as_ref() } {
        // SAFETY: lwIP is in a callback of this connection.
        unsafe {
            tcp_recved(pcb, head.total_length);
            pbuf_free(pbuf);
        }
        return ERR_OK;
    }
    forget(pcb);
    close(pcb)
}

/// The client of a connection that the device has left does not end it. The argument is how often that may still be.
pub(crate) extern "C" fn lingering(argument: *mut c_void, pcb: *mut Pcb) -> Err {
    match argument.addr().checked_sub(1) {
        Some(more) => {
            // SAFETY: lwIP is in a callback of this connection.
            unsafe { tcp_arg(pcb, ptr::without_provenance_mut(more)) };
            ERR_OK
        }
        None => refuse(pcb),
    }
}

/// A host's name was looked up; without an address there is none. The argument is the attempt's number.
pub(crate) extern "C" fn found(_: *const c_char, address: *const Address, argument: *mut c_void) {
    // SAFETY: null, or lwIP's own copy, valid during the call.
    let address = unsafe { address.as_ref() }.copied();
    NETWORK.use_it().openings.found(argument.addr(), address);
    wake();
}

/// A connection that was asked for is there. The argument is the attempt's number.
pub(crate) extern "C" fn connected(argument: *mut c_void, pcb: *mut Pcb, _: Err) -> Err {
    let taken = NETWORK.use_it().connected(argument.addr(), pcb);
    wake();
    if taken { ERR_OK } else { refuse(pcb) }
}

/// A connection that was asked for is refused, or does not answer. The argument is the attempt's number.
pub(crate) extern "C" fn not_connected(argument: *mut c_void, error: Err) {
    NETWORK.use_it().openings.failed(argument.addr(), error);
    wake();
}
