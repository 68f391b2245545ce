//! [`Connection`]: one TCP connection of lwIP, with what waits in both directions.

use core::{ffi::c_void, ptr};

use espbroker_node::{Bytes, ConnectionId};

use crate::{
    SEGMENT, SEGMENT_COST,
    behind::Behind,
    bindings::{
        ERR_OK, PRIORITY_NORMAL, Pbuf, Pcb, espbroker_pcb_set_up, espbroker_pcb_write, pbuf_cat, tcp_abort,
        tcp_arg, tcp_err, tcp_output, tcp_poll, tcp_recv, tcp_recved, tcp_sent, tcp_setprio,
    },
    callbacks,
    received::Received,
};

/// Bytes of one connection that lwIP holds until they are acknowledged.
const UNDER_WAY: u16 = 2 * SEGMENT;
/// How often lwIP calls for a connection, in half seconds.
const POLL: u8 = 1;

/// How long a client may take to end a connection, in calls of lwIP's, half a second apart.
const LINGER: usize = 4;

/// How long a peer may acknowledge nothing while others wait for the memory of its segments, in calls of lwIP's.
const SILENCE: u8 = 20;

/// One connection. Its `pcb` is null once lwIP has ended it.
pub(crate) struct Connection {
    pcb: *mut Pcb,
    /// What has come in and was not taken yet; lwIP's own buffers.
    received: *mut Pbuf,
    /// The first that lwIP has not been given yet; the others are [`Behind`].
    waiting: Option<Bytes>,
    pub(crate) id: ConnectionId,
    /// Bytes of `waiting` that lwIP has been given.
    given: u16,
    /// Bytes that lwIP has and the peer has not acknowledged.
    under_way: u16,
    /// Bytes acknowledged since this was last asked for.
    acknowledged: u16,
    /// Calls of lwIP's since the peer last acknowledged something, while it had something to acknowledge.
    silent: u8,
    /// The peer will send nothing more.
    ended: bool,
    /// Some of what waits is [`Behind`].
    has_behind: bool,
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
            pcb,
            received: ptr::null_mut(),
            waiting: None,
            id,
            given: 0,
            under_way: 0,
            acknowledged: 0,
            silent: 0,
            ended: false,
            has_behind: false,
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
    pub(crate) const fn push_acknowledged(&mut self, length: u16) {
        self.under_way = self.under_way.saturating_sub(length);
        self.acknowledged = self.acknowledged.saturating_add(length);
        self.silent = 0;
    }

    /// Notes that lwIP has freed its side.
    pub(crate) const fn push_gone(&mut self) {
        self.pcb = ptr::null_mut();
    }

    /// Notes that half a second has gone by.
    pub(crate) const fn push_time(&mut self) {
        self.silent = if self.is_busy() { self.silent.saturating_add(1) } else { 0 };
    }

    /// Whether nothing more can come of this connection.
    pub(crate) const fn is_over(&self) -> bool {
        self.pcb.is_null() || (self.ended && self.received.is_null())
    }

    /// Whether lwIP holds something for it that the peer has not acknowledged.
    pub(crate) const fn is_busy(&self) -> bool {
        self.under_way > 0 && !self.pcb.is_null()
    }

    /// Whether its peer has acknowledged nothing for so long that the memory is for others.
    pub(crate) const fn is_silent(&self) -> bool {
        self.silent >= SILENCE
    }

    /// Whether something waits that lwIP may be given.
    pub(crate) const fn can_send(&self) -> bool {
        self.waiting.is_some() && self.under_way < UNDER_WAY && !self.pcb.is_null()
    }

    /// Bytes of the heap that lwIP holds for what the peer has not acknowledged.
    pub(crate) fn held(&self) -> u32 {
        if self.is_busy() { cost(self.under_way) } else { 0 }
    }

    /// Whether the device has something to hear of this connection.
    pub(crate) const fn has_news(&self) -> bool {
        self.acknowledged > 0 || !self.received.is_null() || self.is_over()
    }

    /// Bytes acknowledged since the last call.
    pub(crate) fn take_acknowledged(&mut self) -> usize {
        core::mem::take(&mut self.acknowledged).into()
    }

    /// Takes the first of lwIP's buffers that came in.
    pub(crate) fn take_received(&mut self) -> Option<Received> {
        // SAFETY: null, or the head of a chain that this port has the only reference to.
        let received = unsafe { Received::take_first(&mut self.received) }?;
        if !self.pcb.is_null() {
            // SAFETY: lwIP still has this connection: it would have called `failed` otherwise.
            unsafe { tcp_recved(self.pcb, received.length()) };
        }
        Some(received)
    }

    /// Lets bytes wait behind those that do already; `false` when there is no memory for that.
    pub(crate) fn push(&mut self, bytes: Bytes, behind: &mut Behind) -> bool {
        if self.waiting.is_none() {
            self.waiting = Some(bytes);
            return true;
        }
        self.has_behind = true;
        behind.push(self.id, bytes)
    }

    /// Bytes of what waits that lwIP may be given now; they go into one segment, or into full ones.
    pub(crate) fn portion(&self, behind: &Behind) -> u16 {
        let first = self.waiting.as_ref().map_or(0, |bytes| bytes.len().saturating_sub(self.given.into()));
        let others = if self.has_behind { behind.length(self.id) } else { 0 };
        let room = UNDER_WAY.saturating_sub(self.under_way);
        u16::try_from(first + others).unwrap_or(u16::MAX).min(room)
    }

    /// Gives lwIP as much of what waits as it may hold; what it has no memory for waits on.
    pub(crate) fn flush(&mut self, behind: &mut Behind) {
        let mut portion = self.portion(behind);
        let mut wrote = false;
        while portion > 0 {
            let Some(bytes) = self.waiting.take() else { break };
            let given = self.give(&bytes, portion);
            wrote |= given > 0;
            portion -= given;
            self.given += given;
            if usize::from(self.given) < bytes.len() {
                self.waiting = Some(bytes);
                if given == 0 {
                    break;
                }
                continue;
            }
            self.given = 0;
            if self.has_behind {
                (self.waiting, self.has_behind) = behind.next(self.id);
            }
        }
        if wrote {
            // SAFETY: lwIP still has the connection. What it cannot send now it sends with its timer.
            unsafe { tcp_output(self.pcb) };
        }
    }

    /// Gives lwIP what is left of `bytes`, as far as it belongs to the next `portion` bytes; returns how many it took.
    fn give(&mut self, bytes: &[u8], portion: u16) -> u16 {
        let rest = bytes.get(usize::from(self.given)..).unwrap_or_default();
        let part = rest.get(..rest.len().min(portion.into())).unwrap_or_default();
        let length = u16::try_from(part.len()).unwrap_or_default();
        if self.pcb.is_null() || length == 0 {
            return 0;
        }
        // SAFETY: lwIP still has the connection, and copies the bytes before it returns. It does not call back.
        if unsafe { espbroker_pcb_write(self.pcb, part.as_ptr().cast(), length, portion) } != ERR_OK {
            return 0;
        }
        self.under_way += length;
        length
    }

    /// Resets a connection whose peer is gone, as far as anybody can tell. The device hears of its end.
    pub(crate) fn reset(&mut self) {
        let pcb = self.detach();
        if !pcb.is_null() {
            // SAFETY: lwIP has the connection, and no callback of it leads here any more.
            unsafe { tcp_abort(pcb) };
        }
    }

    /// Ends the connection, after what lwIP takes at once.
    ///
    /// The side that ends a TCP connection first keeps a block of it for minutes (TIME-WAIT, RFC 793). So a client gets
    /// a moment to end it, as it must after its DISCONNECT; then the connection is reset.
    pub(crate) fn close(mut self, behind: &mut Behind) {
        self.flush(behind);
        behind.forget(self.id);
        // lwIP resets a connection that is closed while its window is not fully open.
        while self.take_received().is_some() {}
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
        self.reset();
        while self.take_received().is_some() {}
    }
}

/// Bytes of the heap that lwIP takes for so many bytes to send.
pub(crate) fn cost(length: u16) -> u32 {
    u32::from(length) + u32::from(length.div_ceil(SEGMENT)) * SEGMENT_COST
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
