//! Frames from both ends, through the public interface only.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, also in what tests share")]

mod console;
mod frames;
mod golden;
