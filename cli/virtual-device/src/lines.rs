//! [`Lines`]: from DTR and RTS to the chip's EN and GPIO0 pins.
//!
//! Models the usual two-transistor circuit of development boards, where each transistor's base hangs on one line and
//! its emitter on the other: only *one* line asserted pulls its pin low, both or neither pull nothing. A capacitor on
//! EN keeps the chip in reset for a moment after RTS lets go; sequences that change the lines one after the other
//! rely on it.

use std::time::Duration;

use espbroker_flasher::transport::ControlLines;

/// How long EN stays low after its transistor let go: 10 kOhm and 100 nF.
pub(crate) const EN_RISE_TIME: Duration = Duration::from_millis(1);

/// What is connected to EN and GPIO0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wiring {
    /// RTS resets, DTR pulls GPIO0 low: development boards.
    #[default]
    AutoReset,
    /// RTS resets and no line reaches GPIO0, as with an adapter without DTR: the chip always starts from flash.
    ResetOnly,
    /// No line reaches the chip, as on plugs and on a pseudo-terminal: the chip starts when it gets power.
    Manual(FlashButton),
}

/// The button (or wire) between GPIO0 and ground on a board without automatic reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashButton {
    /// Never pressed: the chip always starts from flash.
    Released,
    /// Held at every start: the chip always enters the serial loader.
    Held,
    /// Held at every start for as long as flash has no image at address 0.
    HeldUntilFlashed,
}

/// The state of the two pins, changed by the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Pins {
    /// EN is pulled low: reset.
    pub(crate) reset: bool,
    /// GPIO0 is pulled low.
    pub gpio0_low: bool,
}

impl Wiring {
    /// What the control lines do to the pins.
    pub(crate) const fn pins(self, lines: ControlLines) -> Pins {
        match self {
            Self::AutoReset => Pins { reset: lines.rts && !lines.dtr, gpio0_low: lines.dtr && !lines.rts },
            Self::ResetOnly => Pins { reset: lines.rts, gpio0_low: false },
            Self::Manual(_) => Pins { reset: false, gpio0_low: false },
        }
    }

    /// Whether a start finds GPIO0 low, given the pins and whether flash begins with an image.
    pub(crate) const fn download(self, pins: Pins, flashed: Flashed) -> bool {
        match (self, flashed) {
            (Self::AutoReset | Self::ResetOnly, _) => pins.gpio0_low,
            (Self::Manual(FlashButton::Held), _) => true,
            (Self::Manual(FlashButton::Released), _) => false,
            (Self::Manual(FlashButton::HeldUntilFlashed), Flashed::Yes) => false,
            (Self::Manual(FlashButton::HeldUntilFlashed), Flashed::No) => true,
        }
    }
}

/// Whether flash begins with the magic byte of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flashed {
    /// It does.
    Yes,
    /// It is blank or something else.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_asserted_line_pulls_its_pin() {
        let pins = |dtr, rts| {
            let pins = Wiring::AutoReset.pins(ControlLines { dtr, rts });
            (pins.reset, pins.gpio0_low)
        };
        assert_eq!(pins(false, false), (false, false));
        assert_eq!(pins(true, true), (false, false));
        assert_eq!(pins(false, true), (true, false));
        assert_eq!(pins(true, false), (false, true));
    }

    #[test]
    fn a_board_with_reset_alone_never_pulls_gpio0() {
        for dtr in [false, true] {
            let pins = |rts| Wiring::ResetOnly.pins(ControlLines { dtr, rts });
            assert_eq!(pins(false), Pins { reset: false, gpio0_low: false });
            assert_eq!(pins(true), Pins { reset: true, gpio0_low: false });
        }
    }

    #[test]
    fn a_board_without_reset_circuit_ignores_the_lines() {
        let wiring = Wiring::Manual(FlashButton::HeldUntilFlashed);
        assert_eq!(wiring.pins(ControlLines { dtr: false, rts: true }), Pins::default());
        assert!(wiring.download(Pins::default(), Flashed::No));
        assert!(!wiring.download(Pins::default(), Flashed::Yes));
    }
}
