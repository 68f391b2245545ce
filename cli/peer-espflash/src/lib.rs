//! Test-only: espflash, whose serial code nobody here wrote, as a client of the virtual ESP8266.
//!
//! espflash has had no ESP8266 since 3.0, so only what the chips share can be used: SYNC and register access. That is
//! enough to hold framing, check sums, status bytes and SYNC's eight replies against another implementation.
//! The tests are in `tests/`; the crate itself is empty, and nothing that ships depends on it.
