//! The signals that a broker obeys: an end with SIGINT and SIGTERM, its settings read again with SIGHUP.

use super::Context;

#[cfg(unix)]
pub(super) use unix::Signals;

#[cfg(not(unix))]
pub(super) use other::Signals;

/// Whether [`Signals::reload`] can be true here.
pub(super) const CAN_RELOAD: bool = cfg!(unix);

#[cfg(unix)]
mod unix {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        flag,
    };

    use super::Context;

    /// Exit code of a program that is stopped a second time, as shells count SIGINT.
    const STOPPED: i32 = 130;

    /// What has been asked for.
    pub(in super::super) struct Signals {
        stop: Arc<AtomicBool>,
        reload: Arc<AtomicBool>,
    }

    impl Signals {
        /// Watches from now on. The first Ctrl-C asks for an end, the second ends at once.
        ///
        /// # Errors
        ///
        /// The operating system's.
        pub(in super::super) fn watch(_: &Context) -> io::Result<Self> {
            let (stop, reload) = (Arc::default(), Arc::default());
            for signal in [SIGINT, SIGTERM] {
                flag::register_conditional_shutdown(signal, STOPPED, Arc::clone(&stop))?;
                flag::register(signal, Arc::clone(&stop))?;
            }
            flag::register(SIGHUP, Arc::clone(&reload))?;
            Ok(Self { stop, reload })
        }

        /// Whether the broker is to end.
        pub(in super::super) fn stop(&self) -> bool {
            self.stop.load(Ordering::Acquire)
        }

        /// Whether the settings are to be read again; once for each time that was asked.
        pub(in super::super) fn reload(&self) -> bool {
            self.reload.swap(false, Ordering::AcqRel)
        }
    }
}

#[cfg(not(unix))]
mod other {
    use espbroker_flasher::cancel::Cancel;

    use super::Context;

    /// What has been asked for.
    pub(in super::super) struct Signals(Cancel);

    impl Signals {
        /// Watches from now on, as every other command does.
        ///
        /// # Errors
        ///
        /// None.
        pub(in super::super) fn watch(context: &Context) -> std::io::Result<Self> {
            crate::stop_on_interrupt(context.cancel.clone());
            Ok(Self(context.cancel.clone()))
        }

        /// Whether the broker is to end.
        pub(in super::super) fn stop(&self) -> bool {
            self.0.is_cancelled()
        }

        /// Never: there is no such signal.
        pub(in super::super) fn reload(&self) -> bool {
            false
        }
    }
}
