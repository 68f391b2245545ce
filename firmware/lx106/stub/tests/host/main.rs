//! The stub on the host: every command, every refusal, and what a line or a power cut can do to them.

mod commands;
mod inflate;
mod line;
mod model;
mod reading;
mod writing;
