//! Part of espbroker.
