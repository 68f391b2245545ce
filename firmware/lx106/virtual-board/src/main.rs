//! The espbroker device on the project's virtual ESP8266, which executes this instruction by instruction.
//!
//! ```text
//! boot ROM -> start.S -> board --+-- espbroker-node
//!                                |
//!   UART0 <-> uart    CCOUNT -> clock    SPI flash, by the boot ROM's functions <-> flash
//!   watchdog, eFuses, RTC memory -> registers, crash
//!   paravirtual device at 0x70000000 <-> outside: radio and network
//! ```
//!
//! All as on the chip but for two things: the network stack and the radio are the computer's, behind a device of
//! `espbroker-paravirtual`, so they take no memory here; and the clock stays at the 52 MHz that the boot ROM makes of a
//! 26 MHz crystal, as the virtual chip has no PLL that could be corrected. Left out: the pins of a plug.
//!
//! `unsafe` is in `board`, `clock`, `flash`, `memory` and `registers`.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
extern crate alloc;

#[cfg(target_arch = "xtensa")]
mod board;
#[cfg(target_arch = "xtensa")]
mod clock;
#[cfg(target_arch = "xtensa")]
mod crash;
#[cfg(target_arch = "xtensa")]
mod device;
#[cfg(target_arch = "xtensa")]
mod flash;
#[cfg(target_arch = "xtensa")]
mod memory;
#[cfg(target_arch = "xtensa")]
mod outside;
#[cfg(target_arch = "xtensa")]
mod registers;
#[cfg(target_arch = "xtensa")]
mod uart;
#[cfg(target_arch = "xtensa")]
mod watchdog;

/// On a host there is nothing to run; the virtual device executes the image.
#[cfg(not(target_arch = "xtensa"))]
fn main() {}
