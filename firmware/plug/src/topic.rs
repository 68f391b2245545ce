//! The plug's topics, and the words of commands.

use alloc::string::String;

use crate::pins::State;

/// What stands behind a relay's topic in that of its commands.
const SET: &str = "/set";
/// What a relay is called.
const RELAY: &str = "relay";

/// Topic of a relay's state; relays count from 0.
pub fn relay(name: &str, relay: usize) -> String {
    let number = u8::try_from(relay + 1).ok().filter(|number| (2..=9).contains(number));
    let mut topic = [name, "/", RELAY].concat();
    topic.extend(number.map(|number| char::from(b'0' + number)));
    topic
}

/// Topic of the buttons.
pub fn button(name: &str) -> String {
    [name, "/button"].concat()
}

/// Topic of the plug's own state.
pub fn status(name: &str) -> String {
    [name, "/status"].concat()
}

/// Filter of all topics that the plug listens to.
pub fn commands(name: &str) -> String {
    [name, "/+", SET].concat()
}

/// Which relay a command is for, from 0 on; `None` for a topic that is no relay's.
pub(crate) fn relay_of(name: &str, topic: &str) -> Option<usize> {
    let relay = topic.strip_prefix(name)?.strip_prefix('/')?.strip_suffix(SET)?;
    match relay.strip_prefix(RELAY)?.as_bytes() {
        [] => Some(0),
        [digit @ b'2'..=b'9'] => Some(usize::from(digit - b'1')),
        _ => None,
    }
}

/// The state that a command asks for; `None` for anything that is no command.
pub(crate) fn command(payload: &[u8], before: State) -> Option<State> {
    let is = |word: &str| payload.trim_ascii().eq_ignore_ascii_case(word.as_bytes());
    if is("on") || is("1") {
        Some(State::On)
    } else if is("off") || is("0") {
        Some(State::Off)
    } else {
        is("toggle").then(|| before.other())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_relay_has_no_number() {
        assert_eq!((relay("hall", 0), relay("hall", 1)), ("hall/relay".into(), "hall/relay2".into()));
        assert_eq!(relay_of("hall", "hall/relay/set"), Some(0));
        assert_eq!(relay_of("hall", "hall/relay4/set"), Some(3));
        for topic in ["hall/relay", "hall/relay1/set", "hall/relay22/set", "hall/button/set", "hal/relay/set"]
        {
            assert_eq!(relay_of("hall", topic), None, "{topic}");
        }
    }

    #[test]
    fn commands_are_words_in_any_case() {
        use State::{Off, On};
        for (payload, before, expected) in [
            (&b"on"[..], Off, Some(On)),
            (b"ON", On, Some(On)),
            (b"1", Off, Some(On)),
            (b"Off\n", On, Some(Off)),
            (b"0", Off, Some(Off)),
            (b"Toggle", Off, Some(On)),
            (b" toggle ", On, Some(Off)),
            (b"", On, None),
            (b"true", On, None),
            (b"{\"state\":\"ON\"}", Off, None),
            (b"on off", Off, None),
            (b"\xFF", Off, None),
        ] {
            assert_eq!(command(payload, before), expected, "{payload:?}");
        }
    }
}
