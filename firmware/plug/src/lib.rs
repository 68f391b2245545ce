//! A switchable plug without its pins: takes levels, commands and time, gives back levels, messages and a deadline.
//!
//! ```text
//! button, switch --level--> contact: 30 ms steady --press--> relay --+--> its pin, its LED
//! NAME/relay/set ---------> command: on off toggle 1 0 ------------> +--> NAME/relay
//! network ----------------------------------------------------------> status LED
//! ```
//!
//! | topic | what | retained |
//! |---|---|---|
//! | `NAME/relay/set` | to the plug: `on`, `off`, `toggle`, `1`, `0`, in any case | |
//! | `NAME/relay` | `on` or `off` | yes |
//! | `NAME/button` | `short` or `long` | |
//! | `NAME/status` | `online`, and `offline` before a restart that was asked for | yes |
//!
//! A second relay has `relay2` in the place of `relay`, and so on. The second button or switch belongs to the second
//! relay, or to the first if there is none, and so on. A short press toggles the relay when it ends; after five seconds it
//! is a long one, which asks for the access point. A wall switch toggles whenever it is moved.
//!
//! Left out: power meters, dimming and timers.
#![no_std]

extern crate alloc;

mod contact;
mod light;
mod pins;
mod plug;
pub mod topic;

pub use light::Link;
pub use pins::{Level, PinMode, Pins, State};
pub use plug::{Event, Plug, Press};

/// A point in time: milliseconds since the device started.
pub type Instant = u64;
