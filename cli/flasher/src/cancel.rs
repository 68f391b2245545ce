//! [`Cancel`]: asks a running operation to stop, from another thread or a signal handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by whoever asks and whoever works; cloning shares it.
///
/// It is looked at between two commands, never within one, so a device is left either in its loader, waiting for the
/// next command, or not touched at all. A region that was being written stays as a power cut would leave it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks to stop; it cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone has asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
