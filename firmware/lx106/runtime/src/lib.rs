//! What a program on the ESP8266's CPU, the LX106, needs below it.
//!
//! Two kinds of program:
//! - In bare RAM: the boot ROM has set up the CPU and calls the program, as it does with a flasher stub that
//!   `MEM_*` commands loaded. There are no vectors, no heap and no console; `ram.ld` is the link script, the program's
//!   own script adds the addresses of the ROM functions that it uses, and the panic handler is the program's.
//! - On QEMU's LX106 (feature `qemu`, `qemu.ld`): start-up from reset, exceptions and panics reported with cause and
//!   address, console and exit code through simcalls, a heap.
//!
//! [`heap`] (feature `heap`) is an allocator with the vendor SDK's overhead, for boards that have the chip's limits.
//!
//! Either way this crate replaces the 128-bit division of `compiler_builtins`, see [`division`]. `memcpy` and its
//! kin come from `compiler_builtins`.
#![cfg_attr(target_arch = "xtensa", no_std)]

#[cfg(target_arch = "xtensa")]
pub mod division;
#[cfg(all(target_arch = "xtensa", feature = "heap"))]
pub mod heap;
#[cfg(all(target_arch = "xtensa", feature = "qemu"))]
pub mod qemu;
#[cfg(feature = "reserve")]
pub mod reserve;
