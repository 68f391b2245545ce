//! Reset strategies as data: what to do with DTR and RTS, and for how long.
//!
//! On the usual circuit two transistors cross-couple the lines: RTS alone pulls EN low (reset), DTR alone pulls GPIO0
//! low (download mode), both together or neither let go. GPIO0 is sampled when EN rises, so a strategy ends its
//! reset with DTR asserted. Timings follow the esptool documentation of boot mode selection.

use std::time::Duration;

use crate::transport::ControlLines;

/// One step of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Set both lines.
    Lines(ControlLines),
    /// Let this pass.
    Wait(Duration),
}

/// A named sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Short, for traces and reports.
    pub name: &'static str,
    /// In order.
    pub steps: &'static [Step],
}

const fn lines(dtr: Level, rts: Level) -> Step {
    Step::Lines(ControlLines { dtr: dtr.asserted(), rts: rts.asserted() })
}

const fn wait(milliseconds: u64) -> Step {
    Step::Wait(Duration::from_millis(milliseconds))
}

#[derive(Clone, Copy)]
enum Level {
    /// Asserted: the pin behind the line is low on the usual circuit.
    On,
    Off,
}

impl Level {
    const fn asserted(self) -> bool {
        matches!(self, Self::On)
    }
}

use Level::{Off, On};

/// Into the loader, with both lines changed at once where the port can.
pub const TIGHT: Strategy = Strategy {
    name: "tight",
    steps: &[
        lines(Off, Off),
        lines(On, On),
        lines(Off, On),
        wait(100),
        lines(On, Off),
        wait(50),
        lines(Off, Off),
    ],
};

/// As [`TIGHT`], for boards whose EN rises slowly.
pub const TIGHT_LONG: Strategy = Strategy {
    name: "tight-long",
    steps: &[
        lines(Off, Off),
        lines(On, On),
        lines(Off, On),
        wait(100),
        lines(On, Off),
        wait(550),
        lines(Off, Off),
    ],
};

/// Into the loader, for drivers that change one line at a time.
pub const CLASSIC: Strategy = Strategy {
    name: "classic",
    steps: &[lines(Off, On), wait(100), lines(On, Off), wait(50), lines(Off, Off)],
};

/// As [`CLASSIC`], for boards whose EN rises slowly.
pub const CLASSIC_LONG: Strategy = Strategy {
    name: "classic-long",
    steps: &[lines(Off, On), wait(100), lines(On, Off), wait(550), lines(Off, Off)],
};

/// [`CLASSIC`] for adapters that drive the pins high when a line is asserted.
pub const INVERTED: Strategy = Strategy {
    name: "inverted",
    steps: &[lines(On, Off), wait(100), lines(Off, On), wait(50), lines(On, On)],
};

/// As [`INVERTED`], for boards whose EN rises slowly.
pub const INVERTED_LONG: Strategy = Strategy {
    name: "inverted-long",
    steps: &[lines(On, Off), wait(100), lines(Off, On), wait(550), lines(On, On)],
};

/// Out of the loader: a pulse on EN with GPIO0 left high.
pub const HARD_RESET: Strategy =
    Strategy { name: "hard-reset", steps: &[lines(Off, On), wait(100), lines(Off, Off)] };

/// [`HARD_RESET`] for adapters that drive the pins high when a line is asserted.
pub const HARD_RESET_INVERTED: Strategy =
    Strategy { name: "hard-reset-inverted", steps: &[lines(On, Off), wait(100), lines(On, On)] };

/// How the control lines reach the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// The two-transistor circuit of nearly every board.
    #[default]
    Usual,
    /// The same with every level inverted.
    Inverted,
    /// Not at all: the user grounds GPIO0 and power-cycles. The lines are never touched.
    Manual,
}

impl Wiring {
    /// The strategies into the loader, in the order of trying; none when the user resets.
    pub const fn into_loader(self) -> &'static [Strategy] {
        match self {
            Self::Usual => &[TIGHT, TIGHT_LONG, CLASSIC, CLASSIC_LONG],
            Self::Inverted => &[INVERTED, INVERTED_LONG],
            Self::Manual => &[],
        }
    }

    /// The strategy into the firmware; none when the user resets.
    pub const fn into_firmware(self) -> Option<Strategy> {
        match self {
            Self::Usual => Some(HARD_RESET),
            Self::Inverted => Some(HARD_RESET_INVERTED),
            Self::Manual => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What EN (not in reset) and GPIO0 (high) are behind the two transistors.
    const fn pins(lines: ControlLines) -> (bool, bool) {
        (!lines.rts || lines.dtr, !lines.dtr || lines.rts)
    }

    /// GPIO0 at each rising edge of EN, which is when the chip samples it.
    fn straps(strategy: &Strategy, invert: bool) -> Vec<bool> {
        let mut enabled = true;
        let mut sampled = Vec::new();
        for step in strategy.steps {
            if let Step::Lines(lines) = step {
                let lines = ControlLines { dtr: lines.dtr != invert, rts: lines.rts != invert };
                let (enable, gpio0) = pins(lines);
                if enable && !enabled {
                    sampled.push(gpio0);
                }
                enabled = enable;
            }
        }
        sampled
    }

    #[test]
    fn every_way_into_the_loader_releases_reset_once_with_gpio0_low() {
        for strategy in Wiring::Usual.into_loader() {
            assert_eq!(straps(strategy, false), [false], "{}", strategy.name);
        }
        for strategy in Wiring::Inverted.into_loader() {
            assert_eq!(straps(strategy, true), [false], "{}", strategy.name);
        }
    }

    #[test]
    fn a_hard_reset_releases_reset_once_with_gpio0_high() {
        assert_eq!(straps(&HARD_RESET, false), [true]);
        assert_eq!(straps(&HARD_RESET_INVERTED, true), [true]);
    }

    #[test]
    fn every_strategy_ends_with_both_pins_let_go() {
        let usual = Wiring::Usual.into_loader().iter().chain([&HARD_RESET]);
        for strategy in usual {
            assert_eq!(strategy.steps.last(), Some(&lines(Off, Off)), "{}", strategy.name);
        }
        let inverted = Wiring::Inverted.into_loader().iter().chain([&HARD_RESET_INVERTED]);
        for strategy in inverted {
            assert_eq!(strategy.steps.last(), Some(&lines(On, On)), "{}", strategy.name);
        }
    }

    #[test]
    fn reset_is_held_for_a_tenth_of_a_second() {
        let all = [TIGHT, TIGHT_LONG, CLASSIC, CLASSIC_LONG, INVERTED, INVERTED_LONG, HARD_RESET];
        for strategy in all {
            let first = strategy.steps.iter().find(|step| matches!(step, Step::Wait(_)));
            assert_eq!(first, Some(&wait(100)), "{}", strategy.name);
        }
    }
}
