//! The user's part of RTC memory: 512 bytes from block 64 on, in blocks of 4 bytes.

use crate::{
    bindings::{system_rtc_mem_read, system_rtc_mem_write},
    crash::{Record, WORDS},
    pins::{OUTPUT_WORDS, Outputs},
};

/// The first block of the record. The SDK's part ends before block 64; up to block 96 its updater may write.
const BLOCK: u8 = 128;
const LENGTH: u16 = 128;
const _: () = assert!(WORDS * 4 == 128, "the length of the record");
/// The first block of the outputs, behind the record.
const OUTPUTS_BLOCK: u8 = 160;
const OUTPUTS_LENGTH: u16 = 16;
const _: () = assert!(OUTPUT_WORDS * 4 == 16, "the length of the outputs");

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

/// Keeps the levels of the outputs.
pub(crate) fn keep_outputs(outputs: &Outputs) {
    // SAFETY: as below.
    unsafe { system_rtc_mem_write(OUTPUTS_BLOCK, outputs.words().as_ptr().cast(), OUTPUTS_LENGTH) };
}

/// The levels of the outputs before the restart.
pub(crate) fn outputs() -> Option<Outputs> {
    let mut words = [0; OUTPUT_WORDS];
    // SAFETY: the array is that long; the SDK checks the block.
    unsafe { system_rtc_mem_read(OUTPUTS_BLOCK, words.as_mut_ptr().cast(), OUTPUTS_LENGTH) };
    Outputs::read(&words)
}

fn write(words: &[u32; WORDS]) {
    // SAFETY: as above.
    unsafe { system_rtc_mem_write(BLOCK, words.as_ptr().cast(), LENGTH) };
}
