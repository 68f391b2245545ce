//! `bench firmware`: the device's LX106 build on the emulated board, with real clients over its forwarded ports: how many
//! subscribers it keeps and what is left of its heap, what a fan-out does, what 10,000 connections leave behind, how many
//! instructions a message costs, and how large the image is.
//!
//! The bounds are the project's own; a figure beyond its bound ends the task with an error.

mod clients;
mod image;
mod routing;

use clap::Args;
use espbroker_config::model::{Anonymous, Bridge, BridgeTopic, Config, Direction, Wifi};

use self::clients::Home;
pub(crate) use self::clients::WebSocketClient;
use super::{
    load::Broker,
    table::{Table, grouped},
};
use crate::{
    emulated::board::{Board, HOST, Setup, Time},
    process::Failure,
};

/// How to measure the firmware.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Connect and disconnect 1,000 times in place of 10,000
    #[arg(long)]
    quick: bool,
    /// Nothing but connecting and disconnecting
    #[arg(long)]
    visits: bool,
}

/// One figure beside its bound.
struct Figure {
    what: String,
    found: u64,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(u64),
    AtMost(u64),
}

impl Figure {
    fn holds(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.found >= least,
            Bound::AtMost(most) => self.found <= most,
        }
    }
}

/// Measures everything and prints the table.
///
/// # Errors
///
/// When a tool is missing, the device does not do its work, or a bound is missed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut figures = Vec::new();
    if !arguments.visits {
        figures.extend(image::figures()?);
        figures.extend(routed()?);
        figures.extend(subscribers(45_000, 64, 10_000)?);
        figures.extend(subscribers(35_000, 45, 11_000)?);
    }
    figures.extend(visits(if arguments.quick { 1_000 } else { 10_000 })?);
    let mut table = Table::new(
        "Bytes, unless a row says otherwise; on QEMU's lx60 board with the ESP8266's CPU and lwIP 2.2 set up as the \
         vendor's SDK has it.",
        &["figure", "found", "bound", ""],
    );
    for figure in &figures {
        let bound = match figure.bound {
            Bound::AtLeast(least) => format!("at least {}", grouped(least)),
            Bound::AtMost(most) => format!("at most {}", grouped(most)),
        };
        let verdict = if figure.holds() { "" } else { "MISSED" };
        table.row([figure.what.clone(), grouped(figure.found), bound, verdict.to_owned()]);
    }
    println!("{table}");
    match figures.iter().filter(|figure| !figure.holds()).count() {
        0 => Ok(()),
        missed => Err(format!("bounds missed: {missed} of {}", figures.len()).into()),
    }
}

fn routed() -> Result<Vec<Figure>, Failure> {
    let bounds = [(1, 3_000), (25, 8_000)];
    let measured = routing::measure()?;
    let figure = |(matches, bound)| {
        let found = measured.get(&matches).copied().ok_or("a run is missing")?;
        let what = format!("instructions for a routed message, matches: {matches}");
        Ok(Figure { what, found, bound: Bound::AtMost(bound) })
    };
    bounds.into_iter().map(figure).collect()
}

/// A home with a bridge to `upstream`, and as many clients as the benchmark may want.
fn home(upstream: u16) -> Config {
    let mut config = Config::new("bench");
    config.wifi = Some(Wifi::new("wired"));
    config.broker.anonymous = Anonymous::Allowed;
    config.broker.limits.clients = 80;
    config.broker.websocket_port = 9001;
    let mut bridge = Bridge::new("cloud", HOST);
    bridge.port = upstream;
    bridge.topics.push(BridgeTopic::new("up/#", Direction::Out));
    config.bridges.push(bridge);
    config
}

/// So many subscribers of five topics each, beside a bridge and a WebSocket client; what is left of the heap with all of
/// them there, and the fewest bytes ever while a message goes out to all of them that none reads for 5 s.
fn subscribers(heap: u32, count: u16, left: u64) -> Result<Vec<Figure>, Failure> {
    let upstream = Broker::mosquitto()?;
    let mut board = Board::start(&Setup { config: home(upstream.address.port()), heap, time: Time::Host })?;
    let mut phone = WebSocketClient::open(board.websocket)?;
    let mut home = Home::new(board.mqtt);
    let mut kept = 0;
    while kept < count && home.join().is_ok() {
        kept += 1;
    }
    let (free, _) = board.heap()?;
    let delivered = home.fan_out(&mut phone)?;
    let (_, lowest) = board.heap()?;
    let at = |what: &str| format!("{what}, heap of {}", grouped(u64::from(heap)));
    Ok(vec![
        Figure {
            what: at("subscribers kept (clients)"),
            found: u64::from(kept),
            bound: Bound::AtLeast(u64::from(count)),
        },
        Figure { what: at("left with all of them"), found: u64::from(free), bound: Bound::AtLeast(left) },
        Figure {
            what: at("messages that a fan-out delivered"),
            found: delivered,
            bound: Bound::AtLeast(u64::from(count)),
        },
        Figure {
            what: at("fewest ever free, fan-out included"),
            found: u64::from(lowest),
            bound: Bound::AtLeast(left),
        },
    ])
}

/// So many connections one after the other, half of them ended without FIN; what the heap lacks afterwards, and which
/// clients the device still counts.
fn visits(count: u32) -> Result<Vec<Figure>, Failure> {
    let upstream = Broker::mosquitto()?;
    let mut board =
        Board::start(&Setup { config: home(upstream.address.port()), heap: 45_000, time: Time::Host })?;
    let mut home = Home::new(board.mqtt);
    // What is taken once and kept, such as the first entries of tables, is not what a visit leaves behind.
    home.visit(64)?;
    home.settle();
    let (before, _) = board.heap()?;
    home.visit(count)?;
    home.settle();
    let (after, _) = board.heap()?;
    let left = home.counted()?;
    let after_all = |what: &str| format!("{what} after {} connections", grouped(u64::from(count)));
    Ok(vec![
        Figure {
            what: after_all("heap missing"),
            found: u64::from(before.saturating_sub(after)),
            bound: Bound::AtMost(0),
        },
        Figure { what: after_all("clients still counted"), found: left, bound: Bound::AtMost(0) },
    ])
}
