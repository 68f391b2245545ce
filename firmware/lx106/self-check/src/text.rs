//! Strings: UTF-8, searching, splitting, case, characters.

use alloc::{string::String, vec::Vec};
use core::{fmt, hint::black_box};

use crate::{random::Random, report::Report};

const ROUNDS: u32 = 150;
const ALPHABET: [char; 16] =
    ['a', 'b', 'B', 'z', '0', '9', ' ', ',', '/', '\n', 'ä', 'ß', 'İ', '€', '√', '\u{1F980}'];

fn words(random: &mut Random) -> String {
    (0..random.below(40)).filter_map(|_| ALPHABET.get(random.below(16) as usize)).collect()
}

pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    report.line("strings searched and split", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let text = black_box(words(random));
            digest.take(text.as_str());
            digest.take(text.find("ab"));
            digest.take(text.rfind(|character: char| character.is_ascii_digit()));
            digest.take(text.trim());
            for part in text.split([',', '/']) {
                digest.take(part);
            }
            for line in text.lines().flat_map(str::split_whitespace) {
                digest.take(line);
            }
            digest.take(text.split_once('a').map(|(before, after)| (before.len(), after.len())));
        }
    })?;
    report.line("strings changed", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let mut text = black_box(words(random));
            digest.take(text.to_uppercase().as_str());
            digest.take(text.to_lowercase().as_str());
            digest.take(text.replace('a', "<a>").as_str());
            digest.take(text.chars().rev().collect::<String>().as_str());
            text.insert(0, '€');
            text.retain(|character| character != 'z');
            digest.take(text.as_str());
            digest.take(text.pop().map(u32::from));
            digest.take(text.repeat(3).as_str());
        }
    })?;
    report.line("characters", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let character = char::from_u32(random.below(0x11_0000));
            digest.take(character.map(char::is_alphabetic));
            digest.take(character.map(char::is_numeric));
            digest.take(character.map(char::len_utf16));
            digest.take(character.and_then(|character| character.to_digit(36)));
            digest.take(character.into_iter().flat_map(char::to_uppercase).collect::<String>().as_str());
            digest.take(character.into_iter().flat_map(char::escape_debug).collect::<String>().as_str());
        }
    })?;
    report.line("bytes as UTF-8", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let mut bytes: Vec<u8> = words(random).into_bytes();
            let at = random.below(40) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x40;
            }
            digest.take(str::from_utf8(&bytes).map_err(|error| error.valid_up_to()).err());
            digest.take(&*String::from_utf8_lossy(&bytes));
        }
    })
}
