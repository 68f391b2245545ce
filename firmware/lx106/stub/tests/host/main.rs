//! The stub on the host: every command, every refusal, and what a line or a power cut can do to them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on ends here, and its numbers are small"
)]

mod commands;
mod inflate;
mod line;
mod model;
mod reading;
mod writing;
