//! The broker in a chip's memory: floods that want more than there is, a bridge among them, and an hour of everything at once.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod heap;
#[cfg(test)]
mod hour;
#[cfg(test)]
mod links;
#[cfg(test)]
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "shared with the rules, which use other parts of it")]
mod world;
