//! [`Received`]: one of lwIP's buffers with what came in.

use core::slice;

use crate::bindings::{Pbuf, pbuf_free};

/// A buffer that this port owns; dropped, it is given back.
pub(crate) struct Received(*mut Pbuf);

impl Received {
    /// Cuts the first link off a chain.
    ///
    /// # Safety
    ///
    /// `chain` is null, or the caller has the only reference to the chain.
    pub(crate) unsafe fn take_first(chain: &mut *mut Pbuf) -> Option<Self> {
        let first = *chain;
        // SAFETY: as the caller promises. Cutting the link off keeps `pbuf_free` from giving back the others.
        let link = unsafe { first.as_mut() }?;
        *chain = core::mem::take(&mut link.next);
        link.total_length = link.length;
        Some(Self(first))
    }

    pub(crate) const fn length(&self) -> u16 {
        // SAFETY: the link lives for as long as this.
        unsafe { (*self.0).length }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: payload and length of a link are a span that lives as long as the link.
        unsafe { slice::from_raw_parts((*self.0).payload.cast::<u8>(), usize::from((*self.0).length)) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // SAFETY: this was the only reference to the link.
        unsafe { pbuf_free(self.0) };
    }
}
