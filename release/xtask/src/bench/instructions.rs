//! Instructions that the broker takes for a message: the difference of two runs under callgrind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;

use super::{
    callgrind::{Costs, Place},
    table::{Table, grouped, grouped_or_dash},
};
use crate::process::{self, Failure, scratch};

/// The shorter run; the longer one does twice as much, so what is done once cancels out.
const COUNT: u64 = 1000;

/// Lines of a profile.
const TOP: usize = 15;

/// Work to be counted. Its name is that of `release/cost`.
struct Item {
    name: &'static str,
    title: &'static str,
    /// Most instructions in all, where there is an aim.
    bound: Option<u64>,
    /// Other brokers on the same work, as measured on a host with 32-bit code.
    peers: &'static str,
}

const ITEMS: [Item; 6] = [
    Item {
        name: "qos0-1-match",
        title: "QoS 0 to 1 of 25 subscribers",
        bound: Some(4_000),
        peers: "20,636 / 57,663 / 262,411",
    },
    Item {
        name: "qos0-25-matches",
        title: "QoS 0 to 25 of 25",
        bound: Some(10_000),
        peers: "19,916 / 29,098 / 375,666",
    },
    Item { name: "qos0-no-match", title: "QoS 0 to nobody", bound: None, peers: "" },
    Item { name: "qos1-25-matches", title: "QoS 1 to 25 of 25, with PUBACKs", bound: None, peers: "" },
    Item { name: "join-and-leave", title: "CONNECT, SUBSCRIBE 5, DISCONNECT", bound: None, peers: "" },
    Item { name: "ping", title: "PINGREQ", bound: None, peers: "" },
];

const CAPTION: &str = "\
Instructions for one unit of work, counted by callgrind on 32-bit x86 code compiled like the chip's (opt-level s, fat
LTO): (run of 2,000 - run of 1,000) / 1,000. 25 clients with 5 subscriptions each, to topics of 20 bytes; a message is
a whole PUBLISH of 40 bytes (topic 12, payload 24) from a 26th client. Collected is all that runs inside
Broker::handle, Broker::poll_output and the drop of each output, from the packet's arrival to the report of the last
byte sent; the harness around them is not. `allocator` is a plain free list of the measuring program, `libc` is
memcpy, memcmp and the like in the C library; `in all` is the sum of the three, and what the bound is for.
`blocks` are allocations, `acknowledged` the PUBACKs of subscribers. Peers: PicoMQTT / TinyMqtt / uMQTTBroker.";

/// Figures for one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    title: String,
    /// Instructions in the broker's code, and the compiler's and Rust's library compiled with it.
    pub(crate) broker: u64,
    /// Instructions in the allocator.
    pub(crate) allocator: u64,
    /// Instructions in the C library.
    pub(crate) libc: u64,
    /// Allocations.
    pub(crate) blocks: u64,
    /// PUBACKs from subscribers.
    acknowledged: u64,
    pub(crate) bound: Option<u64>,
    peers: String,
}

impl Row {
    /// All instructions.
    pub(crate) const fn total(&self) -> u64 {
        self.broker + self.allocator + self.libc
    }
}

/// A row, and where its instructions are.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    costs: Costs,
}

/// Runs every item.
///
/// # Errors
///
/// When valgrind is missing or the program did not do its work.
pub(crate) fn measure(program: &Path) -> Result<Vec<Measured>, Failure> {
    ITEMS.iter().map(|item| item.measure(program)).collect()
}

impl Item {
    fn measure(&self, program: &Path) -> Result<Measured, Failure> {
        let (short, short_done) = self.run(program, COUNT)?;
        let (long, long_done) = self.run(program, 2 * COUNT)?;
        let costs = long.minus(&short);
        let each = |part| costs.sum(|place| part_of(program, place) == part).div_ceil(COUNT);
        let done = |name: &str| {
            let of = |done: &BTreeMap<String, u64>| done.get(name).copied();
            let more = of(&long_done).zip(of(&short_done)).map(|(long, short)| long.saturating_sub(short));
            more.map(|more| more.div_ceil(COUNT)).ok_or_else(|| format!("{} did not say: {name}", self.name))
        };
        let row = Row {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            broker: each(Part::Broker),
            allocator: each(Part::Allocator),
            libc: each(Part::Libc),
            blocks: done("allocations")?,
            acknowledged: done("acknowledged")?,
            bound: self.bound,
            peers: self.peers.to_owned(),
        };
        Ok(Measured { row, costs })
    }

    fn run(&self, program: &Path, count: u64) -> Result<(Costs, BTreeMap<String, u64>), Failure> {
        let out = self.file(count);
        let output = process::run(
            Command::new("valgrind")
                .args(["--quiet", "--tool=callgrind", "--toggle-collect=espbroker_cost::measured::*"])
                .arg(format!("--callgrind-out-file={}", out.display()))
                .arg(program)
                .args(["work", self.name, &count.to_string()]),
        )?;
        let done = output.lines().filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok((Costs::parse(&std::fs::read_to_string(&out)?), done.collect()))
    }

    /// Kept, for whoever wants to look closer with `callgrind_annotate`.
    fn file(&self, count: u64) -> PathBuf {
        scratch().join(format!("callgrind.{}.{count}", self.name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Broker,
    Allocator,
    Libc,
}

fn part_of(program: &Path, place: &Place) -> Part {
    if program.file_name().is_none_or(|name| *name != *object(place)) {
        Part::Libc
    } else if place.function.contains("heap::Heap") || place.function.contains("__rust_") {
        Part::Allocator
    } else {
        Part::Broker
    }
}

/// The rows as Markdown.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        CAPTION,
        &["work", "in all", "bound", "broker", "allocator", "libc", "blocks", "acknowledged", "peers"],
    );
    for row in rows {
        table.row([
            row.title.clone(),
            grouped(row.total()),
            grouped_or_dash(row.bound),
            grouped(row.broker),
            grouped(row.allocator),
            grouped(row.libc),
            grouped(row.blocks),
            grouped(row.acknowledged),
            row.peers.clone(),
        ]);
    }
    table
}

/// For each item the functions and the source files with the most instructions of their own.
pub(crate) fn profile(measured: &[Measured]) -> String {
    let mut text = String::new();
    for Measured { row, costs } in measured {
        text.push_str(&format!("\n{}: {} instructions in all\n", row.title, grouped(row.total())));
        for (what, name) in [("functions", function as fn(&Place) -> &str), ("source files", file)] {
            text.push_str(&format!("  {what}\n"));
            for (name, cost) in top(costs, name) {
                text.push_str(&format!("  {:>9}  {name}\n", grouped(cost.div_ceil(COUNT))));
            }
        }
    }
    text
}

/// The C library comes without names of its own.
fn function(place: &Place) -> &str {
    if place.function.starts_with("0x") { object(place) } else { &place.function }
}

fn object(place: &Place) -> &str {
    place.object.rsplit('/').next().unwrap_or_default()
}

/// From the workspace's or Rust's library folder on.
fn file(place: &Place) -> &str {
    match place.file.as_str() {
        "???" => object(place),
        file => ["/firmware/", "/release/", "/library/"]
            .iter()
            .find_map(|folder| file.find(folder))
            .and_then(|start| file.get(start + 1..))
            .unwrap_or(file),
    }
}

fn top(costs: &Costs, name: fn(&Place) -> &str) -> Vec<(&str, u64)> {
    let mut sums = BTreeMap::<&str, u64>::new();
    for (place, cost) in &costs.0 {
        *sums.entry(name(place)).or_default() += cost;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    sums.truncate(TOP);
    sums
}
