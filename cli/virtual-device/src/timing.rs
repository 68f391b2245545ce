//! [`Timing`]: how long the slow parts of the device take.

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pace {
    /// As long as on a real device.
    #[default]
    RealTime,
    /// No time at all.
    Instant,
}

/// The pace of the two parts that a set-up waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timing {
    /// The serial line: ten bit times for a byte.
    pub uart: Pace,
    /// Erasing and programming: typical values of a W25Q32, page 0.7 ms (32 bytes 0.11 ms), sector 45 ms, block 150 ms, 4 MB 10 s.
    pub nor: Pace,
}
