//! The C library's random numbers: a linear congruential generator of 64 bits. About 45 cycles.

use super::Entry;
use super::call::{Call, Outcome, returned};
use super::data::REENTRANCY_POINTER;
use crate::machine::Step;

const MULTIPLIER: u64 = 0x5851_F42D_4C95_7F2D;
/// Low word of the state in the C library's structure; the high word follows.
const STATE: u32 = 168;

pub(super) const FUNCTIONS: &[Entry] = &[(0x4000_05F0, "srand", seed), (0x4000_0600, "rand", random)];

fn seed(call: &mut Call<'_>) -> Outcome {
    let seed = call.a2();
    let state = call.word(REENTRANCY_POINTER)?.wrapping_add(STATE);
    call.set_word(state, seed)?;
    call.set_word(state.wrapping_add(4), 0)?;
    Ok(Step::Return { cycles: 6 })
}

fn random(call: &mut Call<'_>) -> Outcome {
    let state = call.word(REENTRANCY_POINTER)?.wrapping_add(STATE);
    let (low, high) = (call.word(state)?, call.word(state.wrapping_add(4))?);
    let next = (u64::from(high) << 32 | u64::from(low)).wrapping_mul(MULTIPLIER).wrapping_add(1);
    let [a, b, c, d, e, f, g, h] = next.to_le_bytes();
    call.set_word(state, u32::from_le_bytes([a, b, c, d]))?;
    let high = u32::from_le_bytes([e, f, g, h]);
    call.set_word(state.wrapping_add(4), high)?;
    returned(call, high & 0x7FFF_FFFF, 78)
}
