//! MD5 and SHA-1 over contexts in guest memory.
//!
//! MD5 context: 4 words of state, 64-bit count of bits, 64 bytes of input (88 bytes). SHA-1 context: 5 words, count, 64
//! bytes (92 bytes). An update stops after each block of 64 bytes with pointer and count in a3 and a4. MD5 costs about
//! 12 cycles a byte: 64 rounds of about 10 instructions a block, and the copying; SHA-1 about 30: its 80 rounds work on
//! words that are put together from bytes. Left out, as their contexts and callees were not looked at: `md5_vector`,
//! the HMAC, PBKDF2, AES and RC4 functions, base64.

use md5::block_api::compress as compress_md5;
use sha1::block_api::compress as compress_sha1;

use super::Entry;
use super::call::{Call, Exception, Outcome};
use crate::machine::Step;

const BLOCK: u32 = 64;
const MD5_CYCLES: u64 = 12;
const SHA1_CYCLES: u64 = 30;
const MD5_START: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];
const SHA1_START: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
const MD5_COUNT: u32 = 16;
const SHA1_COUNT: u32 = 20;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_9818, "MD5Init", |call| begin(call, &MD5_START)),
    (0x4000_9834, "MD5Update", |call| update(call, MD5_COUNT, MD5_CYCLES, md5_block)),
    (0x4000_9900, "MD5Final", md5_final),
    (0x4000_A364, "SHA1Transform", sha1_transform),
    (0x4000_B584, "SHA1Init", |call| begin(call, &SHA1_START)),
    (0x4000_B5A8, "SHA1Update", |call| update(call, SHA1_COUNT, SHA1_CYCLES, sha1_block)),
    (0x4000_B648, "SHA1Final", sha1_final),
];

type Block = [u8; BLOCK as usize];
/// Works a block into the state at an address.
type Compress = fn(&mut Call<'_>, u32, &Block) -> Result<(), Exception>;

fn begin(call: &mut Call<'_>, state: &[u32]) -> Outcome {
    let context = call.a2();
    for (place, &word) in (context..).step_by(4).zip(state.iter().chain(&[0, 0])) {
        call.set_word(place, word)?;
    }
    Ok(Step::Return { cycles: 14 })
}

fn words<const N: usize>(call: &mut Call<'_>, address: u32) -> Result<[u32; N], Exception> {
    let mut words = [0; N];
    for (place, word) in (address..).step_by(4).zip(&mut words) {
        *word = call.word(place)?;
    }
    Ok(words)
}

fn set_words(call: &mut Call<'_>, address: u32, words: &[u32]) -> Result<(), Exception> {
    (address..).step_by(4).zip(words).try_for_each(|(place, &word)| call.set_word(place, word))
}

fn md5_block(call: &mut Call<'_>, context: u32, block: &Block) -> Result<(), Exception> {
    let mut state = words(call, context)?;
    compress_md5(&mut state, &[*block]);
    set_words(call, context, &state)
}

fn sha1_block(call: &mut Call<'_>, context: u32, block: &Block) -> Result<(), Exception> {
    let mut state = words(call, context)?;
    compress_sha1(&mut state, &[*block]);
    set_words(call, context, &state)
}

fn bytes(call: &mut Call<'_>, address: u32) -> Result<Block, Exception> {
    let mut bytes = [0; BLOCK as usize];
    for (place, byte) in (address..).zip(&mut bytes) {
        *byte = call.byte(place)?;
    }
    Ok(bytes)
}

/// Takes bytes up to the end of a block, and calls itself for the rest.
fn update(call: &mut Call<'_>, count_at: u32, cycles_per_byte: u64, compress: Compress) -> Outcome {
    let [context, data, length, ..] = call.arguments();
    let counter = context.wrapping_add(count_at);
    let [low, high] = words(call, counter)?;
    let filled = low / 8 % BLOCK;
    let taken = length.min(BLOCK - filled);
    let buffer = counter.wrapping_add(8);
    for offset in 0..taken {
        let byte = call.byte(data.wrapping_add(offset))?;
        call.set_byte(buffer.wrapping_add(filled + offset), byte)?;
    }
    let mut cycles = 50;
    if filled + taken == BLOCK {
        let block = bytes(call, buffer)?;
        compress(call, context, &block)?;
        cycles = cycles_per_byte * u64::from(BLOCK);
    }
    let (sum, carried) = low.overflowing_add(taken * 8);
    set_words(call, counter, &[sum, high.wrapping_add(u32::from(carried))])?;
    if taken == length {
        return Ok(Step::Return { cycles });
    }
    call.set_a3(data.wrapping_add(taken));
    call.set_a4(length - taken);
    let pc = call.machine.cpu.pc;
    Ok(call.go(pc, cycles))
}

/// Puts the padding and the count of bits (as 8 bytes) behind the data.
fn pad(
    call: &mut Call<'_>,
    context: u32,
    count_at: u32,
    count: [u8; 8],
    compress: Compress,
) -> Result<(), Exception> {
    let buffer = context.wrapping_add(count_at + 8);
    let [low] = words(call, context.wrapping_add(count_at))?;
    let mut block = bytes(call, buffer)?;
    let filled = (low / 8 % BLOCK) as usize;
    for (index, byte) in block.iter_mut().enumerate().skip(filled) {
        *byte = if index == filled { 0x80 } else { 0 };
    }
    if filled >= 56 {
        compress(call, context, &block)?;
        block = [0; BLOCK as usize];
    }
    let (_, end) = block.split_at_mut(56);
    end.copy_from_slice(&count);
    compress(call, context, &block)
}

fn put_digest(call: &mut Call<'_>, target: u32, digest: impl Iterator<Item = u8>) -> Result<(), Exception> {
    (target..).zip(digest).try_for_each(|(place, byte)| call.set_byte(place, byte))
}

/// Clears only the first word of the context afterwards, as the ROM does.
fn md5_final(call: &mut Call<'_>) -> Outcome {
    let [target, context, ..] = call.arguments();
    let [low, high] = words(call, context.wrapping_add(MD5_COUNT))?;
    let count = (u64::from(high) << 32 | u64::from(low)).to_le_bytes();
    pad(call, context, MD5_COUNT, count, md5_block)?;
    let state: [u32; 4] = words(call, context)?;
    put_digest(call, target, state.into_iter().flat_map(u32::to_le_bytes))?;
    call.set_word(context, 0)?;
    Ok(Step::Return { cycles: 1000 })
}

fn sha1_transform(call: &mut Call<'_>) -> Outcome {
    let [state, data, ..] = call.arguments();
    let block = bytes(call, data)?;
    sha1_block(call, state, &block)?;
    Ok(Step::Return { cycles: SHA1_CYCLES * u64::from(BLOCK) })
}

/// Clears the context afterwards.
fn sha1_final(call: &mut Call<'_>) -> Outcome {
    let [target, context, ..] = call.arguments();
    let [low, high] = words(call, context.wrapping_add(SHA1_COUNT))?;
    let count = (u64::from(high) << 32 | u64::from(low)).to_be_bytes();
    pad(call, context, SHA1_COUNT, count, sha1_block)?;
    let state: [u32; 5] = words(call, context)?;
    put_digest(call, target, state.into_iter().flat_map(u32::to_be_bytes))?;
    set_words(call, context, &[0; 23])?;
    Ok(Step::Return { cycles: 6000 })
}
