//! The broker's rules, each shown by packets with explicit time, and the whole against a naive model.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod bridges;
#[cfg(test)]
mod connect;
mod delivery;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod model;
#[cfg(test)]
mod own;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod retained;
#[cfg(test)]
mod script;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod splits;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod system;
#[cfg(test)]
mod time;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod wills;
#[cfg(test)]
#[path = "../world/mod.rs"]
mod world;
