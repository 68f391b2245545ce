//! The program as a user meets it: the real binary, its exit codes and what it prints, on virtual devices.
//!
//! A run of `setup --simulate --pace instant` lives on simulated time, so a time-out of 20 s costs nothing; what needs
//! a port of its own talks to `simulate` in the background. Every run has a home folder of its own.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails, also in what tests share"
)]

mod batch;
mod broker;
mod commands;
mod common;
mod devices;
mod export;
mod failures;
mod help;
mod interrupt;
mod power_cut;
mod reconfigure;
mod refusals;
mod secrets;
mod settings;
mod setup;
mod small_flash;
mod supply;
mod tap;
