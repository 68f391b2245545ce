//! The user's part of RTC memory: 512 bytes from block 64 on, in blocks of 4 bytes.

use crate::{
    bindings::{system_rtc_mem_read, system_rtc_mem_write},
    crash::{Record, WORDS},
};

/// The first block of the record. The SDK's part ends before block 64; up to block 96 its updater may write.
const BLOCK: u8 = 128;
const LENGTH: u16 = 128;
const _: () = assert!(WORDS * 4 == 128, "the length of the record");

/// Keeps a record.
pub(crate) fn keep(record: &Record) {
    write(&record.words());
}

/// Takes the record out; there is one after a panic.
pub(crate) fn take() -> Option<Record> {
    let mut words = [0; WORDS];
    // SAFETY: the array is that long; the SDK checks the block.
    unsafe { system_rtc_mem_read(BLOCK, words.as_mut_ptr().cast(), LENGTH) };
    let record = Record::read(&words)?;
    write(&[0; WORDS]);
    Some(record)
}

fn write(words: &[u32; WORDS]) {
    // SAFETY: as above.
    unsafe { system_rtc_mem_write(BLOCK, words.as_ptr().cast(), LENGTH) };
}
