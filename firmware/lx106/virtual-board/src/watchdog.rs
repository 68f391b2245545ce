//! The chip's watchdog, with the vendor SDK's stages: 1.6 s without food, then 3.3 s more to the reset.

use crate::registers::watchdog;

const CONTROL: u32 = 0x00;
const STAGE_1: u32 = 0x04;
const STAGE_2: u32 = 0x08;
const FEED: u32 = 0x14;
/// Enabled, and a reset after both stages.
const ENABLED: u32 = 0x3D;
/// What the last register takes.
const FOOD: u32 = 0x73;

/// Starts it.
pub(crate) fn start() {
    watchdog(STAGE_1, 11);
    watchdog(STAGE_2, 12);
    watchdog(CONTROL, ENABLED);
    feed();
}

/// Shows that the program goes round.
pub(crate) fn feed() {
    watchdog(FEED, FOOD);
}
