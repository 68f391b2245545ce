//! [`Connection`]: one TCP connection of lwIP, with what waits in both directions.

use alloc::collections::VecDeque;
use core::{ffi::c_void, ptr};

use espbroker_node::{Bytes, ConnectionId};

use crate::{
    NETWORK, SEGMENT,
    bindings::{
        ERR_OK, PRIORITY_NORMAL, Pbuf, Pcb, WRITE_COPY, espbroker_pcb_set_up, pbuf_cat, pbuf_free, tcp_abort,
        tcp_arg, tcp_err, tcp_output, tcp_poll, tcp_recv, tcp_recved, tcp_sent, tcp_setprio, tcp_write,
    },
    callbacks,
};

/// Bytes of one connection that lwIP holds until they are acknowledged.
const UNDER_WAY: u16 = 2 * SEGMENT;
/// How often lwIP calls for a connection whose last write found no memory, in half seconds.
const POLL: u8 = 1;

/// How long a client may take to end a connection, in calls of lwIP's, half a second apart.
const LINGER: usize = 4;

/// One connection. Its `pcb` is null once lwIP has ended it.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pcb: *mut Pcb,
    /// What has come in and was not taken yet; lwIP's own buffers.
    received: *mut Pbuf,
    /// Bytes of the first of them that were taken.
    taken: u16,
    /// The peer will send nothing more.
    ended: bool,
    /// Bytes that lwIP has and the peer has not acknowledged.
    under_way: u16,
    /// Bytes acknowledged since this was last asked for.
    acknowledged: usize,
    /// What lwIP has not been given yet.
    waiting: VecDeque<Bytes>,
    /// Bytes of the first of them that it has been given.
    given: usize,
}

/// The argument of the callbacks that belong to a connection: its number, never a pointer. Never null, so that a
/// callback without one is known.
pub(crate) fn argument(id: ConnectionId) -> *mut c_void {
    ptr::without_provenance_mut(usize::from(id.0) + 1)
}

impl Connection {
    /// Takes over an established connection: bounds its segments and installs the callbacks.
    pub(crate) fn new(id: ConnectionId, pcb: *mut Pcb) -> Self {
        // SAFETY: `pcb` comes from lwIP's accept or connected callback, which is running: it is established and nobody
        // else has it. None of these functions calls back.
        unsafe {
            espbroker_pcb_set_up(pcb, SEGMENT);
            tcp_setprio(pcb, PRIORITY_NORMAL);
            tcp_arg(pcb, argument(id));
            tcp_recv(pcb, Some(callbacks::received));
            tcp_sent(pcb, Some(callbacks::sent));
            tcp_err(pcb, Some(callbacks::failed));
            tcp_poll(pcb, Some(callbacks::polled), POLL);
        }
        Self {
            id,
            pcb,
            received: ptr::null_mut(),
            taken: 0,
            ended: false,
            under_way: 0,
            acknowledged: 0,
            waiting: VecDeque::new(),
            given: 0,
        }
    }

    /// Notes what came in.
    pub(crate) fn push_received(&mut self, pbuf: *mut Pbuf) {
        if self.received.is_null() {
            self.received = pbuf;
        } else {
            // SAFETY: both are chains that lwIP has given to this port, in one piece each; the first owns the second
            // from now on.
            unsafe { pbuf_cat(self.received, pbuf) };
        }
    }

    /// Notes that the peer sends nothing more.
    pub(crate) const fn push_end(&mut self) {
        self.ended = true;
    }

    /// Notes what the peer has acknowledged.
    pub(crate) fn push_acknowledged(&mut self, length: u16) {
        self.under_way = self.under_way.saturating_sub(length);
        self.acknowledged += usize::from(length);
    }

    /// Notes that lwIP has freed its side.
    pub(crate) const fn push_gone(&mut self) {
        self.pcb = ptr::null_mut();
    }

    /// Whether nothing more can come of this connection.
    pub(crate) const fn is_over(&self) -> bool {
        self.pcb.is_null() || (self.ended && self.received.is_null())
    }

    /// Bytes of the heap that lwIP holds for what the peer has not acknowledged.
    pub(crate) fn held(&self) -> u32 {
        if self.under_way == 0 { 0 } else { u32::from(self.under_way) + u32::from(NETWORK.segment) }
    }

    /// Whether the device has something to hear of this connection.
    pub(crate) fn has_news(&self) -> bool {
        self.acknowledged > 0 || !self.received.is_null() || self.is_over()
    }

    /// Bytes acknowledged since the last call.
    pub(crate) fn take_acknowledged(&mut self) -> usize {
        core::mem::take(&mut self.acknowledged)
    }

    /// Copies what came in, in order, and gives lwIP its buffers back; returns how many bytes.
    pub(crate) fn take_received(&mut self, buffer: &mut [u8]) -> usize {
        let mut length = 0;
        // SAFETY: `received` is null or the head of a chain that this port owns; `payload` and `length` of each link
        // are a span that lives as long as the link.
        while let Some(link) = unsafe { self.received.as_ref() } {
            let payload = link.payload.cast::<u8>();
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(payload, usize::from(link.length)) };
            let rest = bytes.get(usize::from(self.taken)..).unwrap_or_default();
            let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) else { break };
            let step = rest.len().min(room.len());
            if let (Some(room), Some(rest)) = (room.get_mut(..step), rest.get(..step)) {
                room.copy_from_slice(rest);
            }
            length += step;
            if step < rest.len() {
                self.taken += u16::try_from(step).unwrap_or(u16::MAX);
                break;
            }
            self.free_first_link();
        }
        if !self.pcb.is_null() && length > 0 {
            // SAFETY: lwIP still has this connection: it would have called `failed` otherwise.
            unsafe { tcp_recved(self.pcb, u16::try_from(length).unwrap_or(u16::MAX)) };
        }
        length
    }

    /// Gives the first link of the chain back and keeps the others.
    fn free_first_link(&mut self) {
        self.taken = 0;
        // SAFETY: the caller has seen that the chain has a link. Cutting it off keeps `pbuf_free` from going on, which
        // would give back the others too: this port holds the only reference to the chain.
        unsafe {
            let first = self.received;
            self.received = (*first).next;
            (*first).next = ptr::null_mut();
            (*first).total_length = (*first).length;
            pbuf_free(first);
        }
    }

    /// Sends bytes behind those that wait, as far as lwIP may hold them; the rest waits.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        let given = if self.waiting.is_empty() { self.give(&bytes, 0) } else { 0 };
        if given < bytes.len() {
            self.given = if self.waiting.is_empty() { given } else { self.given };
            self.waiting.push_back(bytes);
        }
        if given > 0 {
            self.output();
        }
    }

    /// Gives lwIP as much of what waits as it may hold; what it has no memory for is tried again when it polls.
    pub(crate) fn flush(&mut self) {
        let mut wrote = false;
        while let Some(bytes) = self.waiting.pop_front() {
            let given = self.give(&bytes, self.given);
            wrote |= given > 0;
            self.given += given;
            if self.given < bytes.len() {
                self.waiting.push_front(bytes);
                break;
            }
            self.given = 0;
        }
        if self.waiting.is_empty() {
            // Its places would be held for as long as the connection, and there are many connections.
            self.waiting = VecDeque::new();
        }
        if wrote {
            self.output();
        }
    }

    /// Gives lwIP what it may hold of `bytes` from `start` on; returns how many it took.
    fn give(&mut self, bytes: &[u8], start: usize) -> usize {
        if self.pcb.is_null() {
            return 0;
        }
        let rest = bytes.get(start..).unwrap_or_default();
        let room = usize::from(UNDER_WAY.saturating_sub(self.under_way));
        let part = rest.get(..rest.len().min(room)).unwrap_or_default();
        let Some(length) = u16::try_from(part.len()).ok().filter(|length| *length > 0) else { return 0 };
        // SAFETY: lwIP still has the connection, and copies the bytes before it returns. It does not call back.
        if unsafe { tcp_write(self.pcb, part.as_ptr().cast(), length, WRITE_COPY) } != ERR_OK {
            return 0;
        }
        self.under_way += length;
        part.len()
    }

    fn output(&mut self) {
        if !self.pcb.is_null() {
            // SAFETY: lwIP still has the connection. What it cannot send now it sends with its timer.
            unsafe { tcp_output(self.pcb) };
        }
    }

    /// Ends the connection, after what lwIP takes at once.
    ///
    /// The side that ends a TCP connection first keeps a block of it for minutes (TIME-WAIT, RFC 793). So a client gets
    /// a moment to end it, as it must after its DISCONNECT; then the connection is reset.
    pub(crate) fn close(mut self) {
        self.flush();
        // lwIP resets a connection that is closed while its window is not fully open.
        while self.take_received(&mut [0; 64]) > 0 {}
        let ended = self.ended;
        let pcb = self.detach();
        if pcb.is_null() {
            return;
        }
        if ended {
            callbacks::close(pcb);
        } else {
            // SAFETY: lwIP has the connection. None of these functions calls back.
            unsafe {
                tcp_arg(pcb, ptr::without_provenance_mut(LINGER));
                tcp_recv(pcb, Some(callbacks::left));
                tcp_poll(pcb, Some(callbacks::lingering), POLL);
            }
        }
    }

    /// Takes the callbacks away, so that nothing of this connection leads to the port any more.
    fn detach(&mut self) -> *mut Pcb {
        let pcb = core::mem::take(&mut self.pcb);
        if !pcb.is_null() {
            forget(pcb);
        }
        pcb
    }
}

impl Drop for Connection {
    /// Gives lwIP its buffers back. A connection that was neither closed nor ended by lwIP is reset.
    fn drop(&mut self) {
        while !self.received.is_null() {
            self.free_first_link();
        }
        let pcb = self.detach();
        if !pcb.is_null() {
            // SAFETY: lwIP has the connection, and no callback of it leads here any more.
            unsafe { tcp_abort(pcb) };
        }
    }
}

/// Takes the callbacks of a connection away.
pub(crate) fn forget(pcb: *mut Pcb) {
    // SAFETY: every caller has a connection that lwIP has as well. None of these functions calls back.
    unsafe {
        tcp_arg(pcb, ptr::null_mut());
        tcp_recv(pcb, None);
        tcp_sent(pcb, None);
        tcp_err(pcb, None);
        tcp_poll(pcb, None, 0);
    }
}
