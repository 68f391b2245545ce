//! The flasher stub as a program in the ESP8266's RAM, between the boot ROM's functions and [`espbroker_stub`].
//!
//! All `unsafe` is here: entry and state in this file, ROM functions in `rom`, registers in `registers`. Built for any
//! other target it is a program that does nothing.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
mod board;
#[cfg(target_arch = "xtensa")]
mod entry;
#[cfg(target_arch = "xtensa")]
mod registers;
#[cfg(target_arch = "xtensa")]
mod rom;

#[cfg(not(target_arch = "xtensa"))]
fn main() {}
