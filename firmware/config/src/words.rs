//! The words and numbers of the enums: words for settings files and reports, numbers for flash.
//!
//! Numbers are part of the formats: they are appended, never changed or used again.

use core::fmt;

/// A word that is none of an enum's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The words that would have been right, in the enum's order.
    pub expected: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be ")?;
        let last = self.expected.len().saturating_sub(1);
        for (index, word) in self.expected.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index == last => " or ",
                _ => ", ",
            };
            write!(formatter, "{separator}{word}")?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownWord {}

/// Gives an enum its `WORDS`, `number`, `from_number`, `word`, `Display` and `FromStr` from one table.
macro_rules! words {
    ($name:ident { $($variant:ident = $number:literal $word:literal),+ $(,)? }) => {
        impl $name {
            /// Every variant's word, in the order of the enum.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The number that stands for the variant in flash.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number),+
                }
            }

            /// The variant with this number, if this version knows it.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word that stands for the variant in a settings file.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.pad(self.word())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::words::UnknownWord { expected: Self::WORDS }),
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use crate::{
        image::Target,
        model::{Access, AccessPointPolicy, Anonymous, Direction, LedUse, PinFunction, PowerOn, Role},
        slots::RollBack,
    };

    macro_rules! round_trip {
        ($($name:ident),+) => {$(
            for word in $name::WORDS {
                let value: $name = word.parse().unwrap();
                assert_eq!(value.to_string(), *word);
                assert_eq!($name::from_number(value.number()), Some(value));
            }
            let known = (0..=u8::MAX).filter(|number| $name::from_number(*number).is_some()).count();
            assert_eq!(known, $name::WORDS.len(), "a number for each word and no more");
        )+};
    }

    #[test]
    fn every_word_and_number_leads_back_to_its_variant() {
        round_trip!(
            Access,
            AccessPointPolicy,
            Anonymous,
            Direction,
            LedUse,
            PinFunction,
            PowerOn,
            Role,
            RollBack,
            Target
        );
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "Broker".parse::<Role>().unwrap_err();
        assert_eq!(error.to_string(), "must be broker, plug or broker-and-plug");
        assert_eq!("no".parse::<Anonymous>().unwrap_err().to_string(), "must be refused or allowed");
    }
}
