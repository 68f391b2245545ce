//! Bytes that the broker holds, from the same 32-bit program.

use std::{path::Path, process::Command};

use serde::Serialize;

use super::table::{Table, grouped, grouped_or_dash};
use crate::process::{self, Failure};

/// The lines of `release/cost`: name, title, and the most bytes where there is an aim.
const ROWS: [(&str, &str, Option<u64>); 13] = [
    ("broker-size", "the Broker itself, in static memory", None),
    ("broker-heap", "its tables without any client", None),
    ("idle-client", "idle client", None),
    ("idle-client-5-subscriptions", "idle client with 5 subscriptions of 20 B", Some(300)),
    ("idle-client-5-unlike-subscriptions", "the same if these have nothing in common", Some(300)),
    ("idle-client-5-shared-subscriptions", "the same if all clients have the same five", Some(300)),
    ("subscription", "each of those subscriptions", None),
    ("after-all-clients-left", "left over when all clients have gone", None),
    ("retained-message", "retained message, topic 20 B, payload 24 B", None),
    ("away-session-5-subscriptions", "session of a client that is away, 5 subscriptions", None),
    ("queued-message", "QoS 1 message waiting for one such session", None),
    ("queued-message-2-sessions", "the same, waiting for two", None),
    ("output-size", "an Output", None),
];

const CAPTION: &str = "\
Bytes on a 32-bit processor. `bytes` are as asked of the allocator; `on the chip` adds 16 bytes before each block and
rounds up to 8, as the ESP8266 SDK's allocator does; `blocks` are the allocations in it; `own account` is what
Broker::memory() says. Each is the difference between a broker with 25 clients or 20 messages and one without,
divided by their number and rounded up. lwIP's 192 bytes for each idle connection are not the broker's and not in it.";

/// Most bytes of the broker without clients, itself and its tables together.
pub(crate) const STATIC_BOUND: u64 = 6 * 1024;

/// Figures for one thing held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    title: String,
    /// Requested of the allocator.
    pub(crate) bytes: u64,
    /// With the chip's overhead.
    pub(crate) chip_bytes: u64,
    /// Allocations.
    pub(crate) blocks: u64,
    /// By `Broker::memory()`.
    pub(crate) accounted: u64,
    pub(crate) bound: Option<u64>,
}

/// Runs the program.
///
/// # Errors
///
/// When the broker did not do what was wanted.
pub(crate) fn measure(program: &Path) -> Result<Vec<Row>, Failure> {
    parse(&process::run(Command::new(program).arg("memory"))?)
}

fn parse(output: &str) -> Result<Vec<Row>, Failure> {
    let rows = output.lines().map(|line| row(line).ok_or_else(|| format!("not a row: {line}").into()));
    let mut rows: Vec<Row> = rows.collect::<Result<_, Failure>>()?;
    let place = |row: &Row| ROWS.iter().position(|(name, ..)| *name == row.name);
    rows.sort_by_key(place);
    Ok(rows)
}

/// A line is: name, units, then for all units together bytes, bytes on the chip, blocks, own account.
fn row(line: &str) -> Option<Row> {
    let (name, figures) = line.split_once(' ')?;
    let (name, title, bound) = ROWS.into_iter().find(|(known, ..)| *known == name)?;
    let figures: Vec<u64> = figures.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [units, bytes, chip_bytes, blocks, accounted] = figures.try_into().ok()?;
    let each = |figure: u64| (units > 0).then(|| figure.div_ceil(units));
    Some(Row {
        name: name.to_owned(),
        title: title.to_owned(),
        bytes: each(bytes)?,
        chip_bytes: each(chip_bytes)?,
        blocks: each(blocks)?,
        accounted: each(accounted)?,
        bound,
    })
}

/// The rows as Markdown.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(CAPTION, &["what", "bytes", "bound", "on the chip", "blocks", "own account"]);
    for row in rows {
        table.row([
            row.title.clone(),
            grouped(row.bytes),
            grouped_or_dash(row.bound),
            grouped(row.chip_bytes),
            grouped(row.blocks),
            grouped(row.accounted),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_one_unit_and_never_rounded_down() {
        let rows = parse("subscription 125 3125 3600 25 3126\nbroker-size 1 228 228 0 228\n").unwrap();
        let figures = |row: &Row| (row.name.clone(), row.bytes, row.chip_bytes, row.blocks, row.accounted);
        assert_eq!(
            rows.iter().map(figures).collect::<Vec<_>>(),
            [("broker-size".to_owned(), 228, 228, 0, 228), ("subscription".to_owned(), 25, 29, 1, 26)]
        );
    }

    #[test]
    fn a_line_that_is_not_a_row_is_an_error() {
        for line in ["error", "subscription 0 1 1 1 1", "subscription 1 1 1 1", "unknown 1 1 1 1 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
