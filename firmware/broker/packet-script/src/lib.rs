//! Packet scripts: what a test of the broker's core said on each connection and what it heard, step by step, as text, so
//! that the same can be said to a device over a network.
//!
//! A file holds one script. Its first lines are the limits of the broker's settings, `limit NAME NUMBER`; then each line
//! is a step: a word, the number of a connection, and bytes in hexadecimal.
//!
//! Left out: time and the pace of the network. A script that depends on them says so, with [`Step::Beyond`].

use std::fmt;

/// A test's script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The broker's limits by their names.
    pub limits: Vec<(String, u32)>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client connects to the port of MQTT.
    Accept(u16),
    /// A client connects to the port of WebSocket.
    AcceptWeb(u16),
    /// A client sends bytes.
    Say(u16, Vec<u8>),
    /// A client is gone, without a word.
    Leave(u16),
    /// The broker sends bytes.
    Hear(u16, Vec<u8>),
    /// The broker ends a connection.
    End(u16),
    /// Something that only a test can do, in a word: what follows cannot be said to a device.
    Beyond(String),
}

/// A line that is no step and no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine(pub String);

impl fmt::Display for BadLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no line of a packet script: {}", self.0)
    }
}

impl std::error::Error for BadLine {}

impl Script {
    /// Adds a step; what the broker sends in pieces on one connection is one.
    pub fn push(&mut self, step: Step) {
        if let (Some(Step::Hear(last, bytes)), Step::Hear(connection, more)) = (self.steps.last_mut(), &step)
            && last == connection
        {
            bytes.extend(more);
            return;
        }
        self.steps.push(step);
    }

    /// Reads a script.
    ///
    /// # Errors
    ///
    /// The first line that is none of a script.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut script = Self::default();
        for line in text.lines() {
            match step(line) {
                Some(step) => script.steps.push(step),
                None => script.limits.push(limit(line).ok_or_else(|| BadLine(line.to_owned()))?),
            }
        }
        Ok(script)
    }

    /// Why it cannot be said to a device; `None` if it can.
    pub fn beyond(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| match step {
            Step::Beyond(what) => Some(what.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, number) in &self.limits {
            writeln!(formatter, "limit {name} {number}")?;
        }
        for step in &self.steps {
            match step {
                Step::Accept(connection) => writeln!(formatter, "accept {connection}"),
                Step::AcceptWeb(connection) => writeln!(formatter, "accept-web {connection}"),
                Step::Say(connection, bytes) => writeln!(formatter, "say {connection} {}", Hex(bytes)),
                Step::Leave(connection) => writeln!(formatter, "leave {connection}"),
                Step::Hear(connection, bytes) => writeln!(formatter, "hear {connection} {}", Hex(bytes)),
                Step::End(connection) => writeln!(formatter, "end {connection}"),
                Step::Beyond(what) => writeln!(formatter, "beyond {what}"),
            }?;
        }
        Ok(())
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

fn limit(line: &str) -> Option<(String, u32)> {
    let (name, number) = line.strip_prefix("limit ")?.split_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

fn step(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(' ')?;
    let spoken = || {
        let (connection, digits) = rest.split_once(' ')?;
        Some((connection.parse().ok()?, bytes(digits)?))
    };
    let connection = || rest.parse().ok();
    Some(match word {
        "accept" => Step::Accept(connection()?),
        "accept-web" => Step::AcceptWeb(connection()?),
        "say" => spoken().map(|(connection, bytes)| Step::Say(connection, bytes))?,
        "leave" => Step::Leave(connection()?),
        "hear" => spoken().map(|(connection, bytes)| Step::Hear(connection, bytes))?,
        "end" => Step::End(connection()?),
        "beyond" => Step::Beyond(rest.to_owned()),
        _ => return None,
    })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_was_written() {
        let script = Script {
            limits: vec![("clients".into(), 32), ("packet_size".into(), 4096)],
            steps: vec![
                Step::Accept(1),
                Step::AcceptWeb(2),
                Step::Say(1, vec![0x10, 0, 0xff]),
                Step::Hear(1, vec![0x20, 2, 0, 0]),
                Step::Say(2, Vec::new()),
                Step::End(1),
                Step::Leave(2),
                Step::Beyond("the clock moves".into()),
            ],
        };
        assert_eq!(Script::parse(&script.to_string()), Ok(script.clone()));
        assert_eq!(script.beyond(), Some("the clock moves"));
    }

    #[test]
    fn what_is_heard_in_pieces_is_one_step() {
        let mut script = Script::default();
        for (connection, byte) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
            script.push(Step::Hear(connection, vec![byte]));
        }
        assert_eq!(script.steps, [Step::Hear(1, vec![1, 2]), Step::Hear(2, vec![3]), Step::Hear(1, vec![4])]);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "say 1 0", "say 1 zz", "say", "accept x", "limit clients many", "shout 1"] {
            assert_eq!(Script::parse(&format!("accept 1\n{line}\n")), Err(BadLine(line.into())), "{line}");
        }
    }
}
