//! The flash cache: which megabyte of the flash appears at 0x40200000, and off.
//!
//! The registers and their order are the ROM's; about 40 cycles and what the flush takes, which is not known.

use super::Entry;
use super::call::{Call, Exception, Outcome};
use crate::machine::Step;

const CONTROL: u32 = 0x3FF0_000C;
const FLUSH: u32 = 1;
const FLUSHED: u32 = 1 << 1;
const ENABLED: u32 = 1 << 8;
const MEGABYTE_PAIR: u32 = 7 << 16;
const ODD: u32 = 1 << 25;
const OTHER: u32 = 1 << 24;
const LARGE: u32 = 1 << 26;
const MEMORY_USE: u32 = 0x3FF0_0024;
/// The RAM block at 0x4010C000 becomes cache.
const SMALL_CACHE: u32 = 1 << 3;
/// The one at 0x40108000 too.
const LARGE_CACHE: u32 = 1 << 3 | 1 << 4;
const SPI_CONTROL: u32 = 0x6000_0208;
const SPI_FOR_CACHE: u32 = 1 << 17;

pub(super) const FUNCTIONS: &[Entry] =
    &[(0x4000_4678, "Cache_Read_Enable", enable), (0x4000_47F0, "Cache_Read_Disable", disable)];

/// Stops and empties the cache; false while it is not empty.
fn stop(call: &mut Call<'_>) -> Result<bool, Exception> {
    call.modify(CONTROL, ENABLED, 0)?;
    call.modify(SPI_CONTROL, SPI_FOR_CACHE, 0)?;
    call.modify(CONTROL, FLUSH, 0)?;
    call.modify(CONTROL, 0, FLUSH)?;
    if call.word(CONTROL)? & FLUSHED == 0 {
        return Ok(false);
    }
    call.modify(CONTROL, FLUSH, 0)?;
    Ok(true)
}

fn disable(call: &mut Call<'_>) -> Outcome {
    if !stop(call)? {
        return Ok(call.poll(8));
    }
    Ok(Step::Return { cycles: 35 })
}

fn enable(call: &mut Call<'_>) -> Outcome {
    let [map, pair, size, ..] = call.arguments();
    if !stop(call)? {
        return Ok(call.poll(8));
    }
    call.modify(SPI_CONTROL, 0, SPI_FOR_CACHE)?;
    let half = match map {
        0 => 0,
        1 => ODD,
        _ => OTHER,
    };
    call.modify(CONTROL, ODD | OTHER, half)?;
    call.modify(CONTROL, LARGE | MEGABYTE_PAIR, pair << 16 | size << 26)?;
    call.modify(MEMORY_USE, 0, if size == 0 { SMALL_CACHE } else { LARGE_CACHE })?;
    call.modify(CONTROL, 0, ENABLED)?;
    Ok(Step::Return { cycles: 80 })
}
