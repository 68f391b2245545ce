//! Bridges between brokers of this crate, and to servers that the test plays.

mod circles;
mod hostile;
mod lan;
mod private;
mod queues;
mod random;
mod settings;
mod state;
mod topics;
