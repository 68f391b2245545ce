//! What a pin needs written into which register; nothing here touches one.
//!
//! The vendor SDK's `eagle_soc.h` (multiplexer), `gpio_register.h` and `gpio16.h`. GPIO6 to 11 are the flash chip's.
//! Left out: interrupts, since buttons are slow enough to be looked at, and open drain.

use core::time::Duration;

use espbroker_plug::{Level, PinMode};

const GPIO: u32 = 0x6000_0300;
/// Set or clear the bits that are written.
const OUT_SET: u32 = GPIO + 0x04;
const OUT_CLEAR: u32 = GPIO + 0x08;
const ENABLE_SET: u32 = GPIO + 0x10;
const ENABLE_CLEAR: u32 = GPIO + 0x14;

const MULTIPLEXER: u32 = 0x6000_0800;
/// `PERIPHS_IO_MUX_FUNC` in its place: bits 4, 5 and 8.
const FUNCTION: u32 = 0x130;
const PULL_DOWN: u32 = 1 << 6;
const PULL_UP: u32 = 1 << 7;

/// GPIO16 belongs to the RTC and has registers of its own, each with its bit 0.
const RTC_PIN: u8 = 16;
const RTC_OUT: u32 = 0x6000_0768;
const RTC_ENABLE: u32 = 0x6000_0774;
const RTC_CONF: u32 = 0x6000_0790;
const RTC_PAD: u32 = 0x6000_07A0;
/// Function and pull-down of the pad; function 1 is the pin.
const RTC_PAD_FUNCTION: u32 = 0x43;

/// Between two looks at the inputs.
const LOOK: Duration = Duration::from_millis(10);

/// Writes a register: some bits stay, others are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) register: u32,
    /// Bits that stay as they are.
    pub(crate) keep: u32,
    pub(crate) set: u32,
}

const fn write(register: u32, set: u32) -> Option<Step> {
    Some(Step { register, keep: 0, set })
}

const fn change(register: u32, clear: u32, set: u32) -> Option<Step> {
    Some(Step { register, keep: !clear, set })
}

/// Place of a pin in the multiplexer, and the number of the function that is GPIO.
const fn place(gpio: u8) -> Option<(u32, u32)> {
    Some(match gpio {
        0 => (0x34, 0),
        1 => (0x18, 3),
        2 => (0x38, 0),
        3 => (0x14, 3),
        4 => (0x3C, 0),
        5 => (0x40, 0),
        12 => (0x04, 3),
        13 => (0x08, 3),
        14 => (0x0C, 3),
        15 => (0x10, 3),
        _ => return None,
    })
}

/// What makes a pin what it is to be, in this order; nothing for a pin that a program must leave alone. An output has its
/// level before it drives the pin, and an input stops driving before anything else.
pub(crate) fn steps(gpio: u8, mode: PinMode) -> impl Iterator<Item = Step> {
    let steps = match (gpio, place(gpio)) {
        (RTC_PIN, _) => {
            let pad = change(RTC_PAD, RTC_PAD_FUNCTION, 1);
            let conf = change(RTC_CONF, 1, 0);
            match mode {
                PinMode::Driven(level) => {
                    [change(RTC_OUT, 1, u32::from(level == Level::High)), pad, conf, change(RTC_ENABLE, 1, 1)]
                }
                PinMode::Watched | PinMode::Released => [change(RTC_ENABLE, 1, 0), pad, conf, None],
            }
        }
        (_, Some((place, function))) => {
            let (bit, pull) = (1 << gpio, if mode == PinMode::Watched { PULL_UP } else { 0 });
            let function =
                change(MULTIPLEXER + place, FUNCTION | PULL_DOWN | PULL_UP, (function & 3) << 4 | pull);
            match mode {
                PinMode::Driven(Level::High) => [write(OUT_SET, bit), function, write(ENABLE_SET, bit), None],
                PinMode::Driven(Level::Low) => {
                    [write(OUT_CLEAR, bit), function, write(ENABLE_SET, bit), None]
                }
                PinMode::Watched | PinMode::Released => [write(ENABLE_CLEAR, bit), function, None, None],
            }
        }
        (_, None) => [None; 4],
    };
    steps.into_iter().flatten()
}

/// The levels of all pins, from the two registers that have them.
pub(crate) const fn levels(gpio_in: u32, rtc_in: u32) -> u32 {
    gpio_in & 0xFFFF | (rtc_in & 1) << RTC_PIN
}

fn bit(gpio: u8) -> u32 {
    1_u32.checked_shl(gpio.into()).unwrap_or(0)
}

/// The pins of `among`, with their levels.
fn pins(among: u32, levels: u32) -> impl Iterator<Item = (u8, Level)> {
    (0..=RTC_PIN).filter(move |gpio| among & bit(*gpio) != 0).map(move |gpio| {
        let level = if levels & bit(gpio) == 0 { Level::Low } else { Level::High };
        (gpio, level)
    })
}

/// The pins under watch.
#[derive(Debug)]
pub(crate) struct Inputs {
    watched: u32,
    /// Those whose level was reported.
    known: u32,
    levels: u32,
    due: Duration,
}

impl Inputs {
    pub(crate) const fn new() -> Self {
        Self { watched: 0, known: 0, levels: 0, due: Duration::ZERO }
    }

    /// Begins or ends to watch a pin.
    pub(crate) fn set(&mut self, gpio: u8, mode: PinMode) {
        self.known &= !bit(gpio);
        match mode {
            PinMode::Watched => self.watched |= bit(gpio),
            PinMode::Driven(_) | PinMode::Released => self.watched &= !bit(gpio),
        }
    }

    /// What is to be reported, if there is something under watch and the last look is long enough ago.
    pub(crate) fn look<F: FnOnce() -> u32>(
        &mut self,
        now: Duration,
        levels: F,
    ) -> impl Iterator<Item = (u8, Level)> + use<F> {
        let mut news = 0;
        if self.watched != 0 && now >= self.due {
            self.due = now + LOOK;
            let levels = levels();
            news = self.watched & (!self.known | self.levels ^ levels);
            (self.known, self.levels) = (self.known | self.watched, levels);
        }
        pins(news, self.levels)
    }
}

/// Words of the outputs in RTC memory.
pub(crate) const OUTPUT_WORDS: usize = 4;
const MAGIC: u32 = u32::from_le_bytes(*b"EBou");

/// The pins that are driven, as they are kept over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    driven: u32,
    high: u32,
}

impl Outputs {
    /// Notes what a pin is to be.
    pub(crate) fn set(&mut self, gpio: u8, mode: PinMode) {
        let driven = matches!(mode, PinMode::Driven(_));
        let high = mode == PinMode::Driven(Level::High);
        for (word, is_set) in [(&mut self.driven, driven), (&mut self.high, high)] {
            *word = *word & !bit(gpio) | if is_set { bit(gpio) } else { 0 };
        }
    }

    /// Every output and its level.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u8, Level)> {
        pins(self.driven, self.high)
    }

    /// As it is kept: a loss of power leaves random words, which the sum tells.
    pub(crate) const fn words(&self) -> [u32; OUTPUT_WORDS] {
        [MAGIC, self.driven, self.high, sum(self.driven, self.high)]
    }

    /// Reads what was kept; `None` if these words are something else.
    pub(crate) fn read(words: &[u32; OUTPUT_WORDS]) -> Option<Self> {
        let [magic, driven, high, check] = *words;
        (magic == MAGIC && check == sum(driven, high)).then_some(Self { driven, high })
    }
}

const fn sum(driven: u32, high: u32) -> u32 {
    (driven.wrapping_mul(0x0100_0193) ^ high).wrapping_mul(0x0100_0193) ^ MAGIC
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ALL: [u8; 11] = [0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16];

    /// The registers, and whether the pin ever drove the wrong level on the way.
    #[derive(Default)]
    struct Chip {
        words: BTreeMap<u32, u32>,
        out: u32,
        enabled: u32,
    }

    impl Chip {
        fn set(&mut self, gpio: u8, mode: PinMode) {
            for Step { register, keep, set } in steps(gpio, mode) {
                let word = self.words.entry(register).or_insert(0xFFFF_FFFF);
                *word = *word & keep | set;
                match register {
                    OUT_SET => self.out |= set,
                    OUT_CLEAR => self.out &= !set,
                    ENABLE_SET => self.enabled |= set,
                    ENABLE_CLEAR => self.enabled &= !set,
                    RTC_OUT => self.out = self.out & 0xFFFF | (*word & 1) << 16,
                    RTC_ENABLE => self.enabled = self.enabled & 0xFFFF | (*word & 1) << 16,
                    _ => {}
                }
                if let PinMode::Driven(level) = mode {
                    let drives = self.enabled & 1 << gpio != 0;
                    assert!(!drives || (self.out & 1 << gpio != 0) == (level == Level::High), "GPIO{gpio}");
                }
            }
        }
    }

    #[test]
    fn an_output_has_its_level_before_it_drives() {
        for gpio in ALL {
            for levels in [[Level::High, Level::Low], [Level::Low, Level::High]] {
                let mut chip = Chip::default();
                for level in levels {
                    chip.set(gpio, PinMode::Driven(level));
                    assert_eq!(
                        (chip.enabled, chip.out != 0),
                        (1 << gpio, level == Level::High),
                        "GPIO{gpio}"
                    );
                }
                chip.set(gpio, PinMode::Watched);
                assert_eq!(chip.enabled, 0, "GPIO{gpio}");
            }
        }
    }

    #[test]
    fn the_multiplexer_is_set_to_the_pin_and_to_its_pull() {
        let word = |gpio, mode, register| {
            let mut chip = Chip::default();
            chip.set(gpio, mode);
            chip.words[&register]
        };
        let driven = PinMode::Driven(Level::Low);
        // GPIO12 is function 3 of MTDI, GPIO5 function 0 of its own.
        assert_eq!(word(12, driven, 0x6000_0804), 0xFFFF_FE3F);
        assert_eq!(word(12, PinMode::Watched, 0x6000_0804), 0xFFFF_FEBF);
        assert_eq!(word(5, PinMode::Released, 0x6000_0840), 0xFFFF_FE0F);
        assert_eq!(word(0, PinMode::Watched, 0x6000_0834), 0xFFFF_FE8F);
        assert_eq!(word(16, driven, RTC_PAD), 0xFFFF_FFBD);
        assert_eq!(word(16, driven, RTC_CONF), 0xFFFF_FFFE);
    }

    #[test]
    fn the_flash_chips_pins_are_left_alone() {
        for gpio in (6..=11).chain(17..=255) {
            assert_eq!(steps(gpio, PinMode::Driven(Level::High)).count(), 0, "GPIO{gpio}");
        }
    }

    #[test]
    fn watched_pins_are_reported_once_and_when_they_change() {
        let ms = Duration::from_millis;
        let mut inputs = Inputs::new();
        let look = |inputs: &mut Inputs, at, levels| inputs.look(ms(at), || levels).collect::<Vec<_>>();
        assert_eq!(look(&mut inputs, 0, 0x1_FFFF), []);
        inputs.set(0, PinMode::Watched);
        inputs.set(16, PinMode::Watched);
        assert_eq!(look(&mut inputs, 1, 1), [(0, Level::High), (16, Level::Low)]);
        assert_eq!(look(&mut inputs, 5, 0), [], "too soon");
        assert_eq!(look(&mut inputs, 11, levels(0xF000_0002, 1)), [(0, Level::Low), (16, Level::High)]);
        assert_eq!(look(&mut inputs, 21, 0x1_0000), []);
        inputs.set(0, PinMode::Released);
        assert_eq!(look(&mut inputs, 31, 0x1_0001), []);
    }

    #[test]
    fn outputs_are_known_again_after_the_restart_and_random_words_are_none() {
        let mut outputs = Outputs::default();
        outputs.set(12, PinMode::Driven(Level::High));
        outputs.set(13, PinMode::Driven(Level::High));
        outputs.set(16, PinMode::Driven(Level::Low));
        outputs.set(13, PinMode::Released);
        let read = Outputs::read(&outputs.words()).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [(12, Level::High), (16, Level::Low)]);
        for index in 0..OUTPUT_WORDS {
            let mut damaged = outputs.words();
            damaged[index] ^= 0x0100;
            assert_eq!(Outputs::read(&damaged), None, "word {index}");
        }
        assert_eq!(Outputs::read(&[0; OUTPUT_WORDS]), None);
        assert_eq!(Outputs::read(&[u32::MAX; OUTPUT_WORDS]), None);
    }
}
