//! [`Window`]: the part of the flash that code runs from, as the cache has read it.
//!
//! A page is read at its first use and kept until the cache is switched on again over another part of the flash, or over
//! one that was written meanwhile, which is what software must do after it has written. The chip's cache has 16 or 32 KiB
//! and forgets lines before that; how long a miss takes is not modelled. Instructions that were decoded before run on
//! while the cache is off, where a chip's behaviour is not documented.

use std::time::Duration;

use crate::nor::Nor;

/// Bytes of a page, and words.
const PAGE_BYTES: u32 = 4096;
const PAGE: usize = PAGE_BYTES as usize / 4;
/// Pages of the window's megabyte.
const PAGES: usize = 256;

/// What was read of the window.
#[derive(Debug)]
pub(crate) struct Window {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    /// Where in flash the window begins; `None` while the cache is off.
    shown: Option<u32>,
    /// Where it began when the pages were read, and how often the flash was written by then.
    read: (u32, u64),
}

impl Default for Window {
    fn default() -> Self {
        Self { pages: vec![None; PAGES], shown: None, read: (0, 0) }
    }
}

impl Window {
    /// The word at `offset` of the window, if its page was read.
    #[inline]
    pub(crate) fn word(&self, offset: u32) -> Option<u32> {
        self.shown?;
        let index = (offset / 4) as usize;
        self.pages.get(index / PAGE)?.as_deref()?.get(index % PAGE).copied()
    }

    /// Reads the page of `offset`, if the cache is on.
    pub(crate) fn read(&mut self, offset: u32, nor: &Nor) {
        let Some(start) = self.shown else { return };
        let page = (offset / 4) as usize / PAGE;
        let first = start.wrapping_add(offset & !(PAGE_BYTES - 1));
        let mut bytes = [0; PAGE_BYTES as usize];
        // The cache waits for a flash that is busy; here the array is read as it is.
        nor.read(first, &mut bytes, Duration::MAX);
        let mut words = Box::new([0; PAGE]);
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        if let Some(place) = self.pages.get_mut(page) {
            *place = Some(words);
        }
    }

    /// The cache was switched: the window begins at `shown` now, of a flash that was written so often. Returns whether
    /// it may show something else than before.
    pub(crate) fn show(&mut self, shown: Option<u32>, writes: u64) -> bool {
        self.shown = shown;
        let Some(start) = shown.filter(|start| (*start, writes) != self.read) else { return false };
        self.read = (start, writes);
        self.pages.fill(None);
        true
    }
}
