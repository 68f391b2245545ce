//! Out of memory at every allocation: the board's allocator refuses one after the other, at start, while clients do
//! everything once, and while the bridge comes back. Each time the board may refuse what was asked of it, and must serve
//! a fresh client afterwards without having started again.

use std::collections::BTreeMap;

use espbroker_config::model::{Anonymous, Bridge, BridgeTopic, Config, Direction};

use super::{
    board::{Board, HOST, Program, Setup, Time, flash_with},
    checks::Extent,
    debugger::Debugger,
    start::Word,
    symbols::Symbols,
    upstream::Upstream,
    visit::{self, Ports},
};
use crate::process::{Failure, Tally};

/// Bytes of heap: those of a chip with Wi-Fi up.
const HEAP: u32 = 45_000;
/// Counts of allocations that fail in a row.
const ROWS: [u32; 2] = [1, 12];
/// More allocations than a visit makes: all of them fail.
const ALL: u32 = 1 << 20;

/// A board whose allocations are made to fail.
struct Victim {
    board: Board,
    debugger: Debugger,
    upstream: Upstream,
}

/// What came of a walk.
#[derive(Default)]
struct Found {
    /// Runs in which the clients were served all the same, and in which they were refused something.
    served: u32,
    refused: u32,
    /// What clients saw of it, with the allocations.
    refusals: BTreeMap<String, Vec<u32>>,
    /// Allocations that failed.
    failed: u32,
    /// Where the board ended, with how often and at which allocation first.
    ends: BTreeMap<String, (u32, u32)>,
    /// Runs after which no fresh client was served, and why.
    stuck: Vec<(u32, String)>,
}

pub(super) fn setup(upstream: u16) -> Setup {
    let mut config = Config::new("board");
    config.wifi = Some(espbroker_config::model::Wifi::new("wired"));
    config.broker.anonymous = Anonymous::Allowed;
    config.broker.websocket_port = 9001;
    config.broker.sys_interval = 0;
    let mut bridge = Bridge::new("cloud", HOST);
    bridge.port = upstream;
    bridge.restart_base = 1;
    bridge.restart_cap = 1;
    bridge.topics.push(BridgeTopic::new("up/#", Direction::Out));
    config.bridges.push(bridge);
    Setup { config, heap: HEAP, time: Time::Host }
}

impl Victim {
    fn boot(program: &Program, fail: Option<(u32, u32)>) -> Result<Self, Failure> {
        let upstream = Upstream::start()?;
        let setup = setup(upstream.port);
        let mut board = Board::boot(program, &setup, &flash_with(&setup.config)?, fail)?;
        let debugger = board.debugger().map_err(|error| Self::why(&mut board, error))?;
        Ok(Self { board, debugger, upstream })
    }

    fn why(board: &mut Board, error: Failure) -> Failure {
        board.last_words().map_or(error, Into::into)
    }

    fn ports(&self) -> Ports {
        Ports { mqtt: self.board.mqtt, websocket: self.board.websocket }
    }

    /// From now on allocations are counted from 1, and these fail.
    fn arm(&mut self, first: u32, count: u32) -> Result<(), Failure> {
        self.debugger.stopped(|board| {
            board.set(Word::FailFrom, first)?;
            board.set(Word::FailCount, count)?;
            board.set(Word::Failed, 0)?;
            board.set(Word::Allocations, 0)
        })
    }

    /// No allocation fails any more; how many there were, and how many failed.
    fn disarm(&mut self) -> Result<(u32, u32), Failure> {
        self.debugger.stopped(|board| {
            board.set(Word::FailFrom, 0)?;
            Ok((board.word(Word::Allocations)?, board.word(Word::Failed)?))
        })
    }
}

type Visit = fn(&Victim, u32) -> Result<(), Failure>;

fn clients(victim: &Victim, _: u32) -> Result<(), Failure> {
    visit::clients(victim.ports())
}

fn bridge(victim: &Victim, number: u32) -> Result<(), Failure> {
    visit::bridge(victim.ports(), &victim.upstream, &format!("up/{number}"))
}

/// Runs the walks; each is a check.
pub(super) fn run(program: &Program, extent: Extent, tally: &mut Tally) -> Result<(), Failure> {
    let symbols = Symbols::read(program.path())?;
    let visits: [(&str, Visit); 2] = [("clients", clients), ("the bridge", bridge)];
    for (name, visit) in visits {
        for row in ROWS {
            // A bridge's return takes a second and more, so its rows are walked once.
            tally.check_told(&format!("memory: {name}, {row} refused from each allocation on"), || {
                walk(program, &symbols, visit, row, extent)
            });
        }
        tally.check_told(&format!("memory: {name}, all refused from an allocation on"), || {
            walk(program, &symbols, visit, ALL, Extent::Spread(extent.steps(24)))
        });
    }
    tally.check_told("memory: start, each allocation refused", || start(program, &symbols, extent));
    Ok(())
}

/// Makes each allocation of a visit fail, and `row` from there on.
fn walk(
    program: &Program,
    symbols: &Symbols,
    visit: Visit,
    row: u32,
    extent: Extent,
) -> Result<String, Failure> {
    let mut victim = Victim::boot(program, None)?;
    victim.upstream.connected()?;
    // What is taken once and kept is not what a visit takes.
    for number in 0..2 {
        visit(&victim, number)?;
    }
    victim.arm(0, 0)?;
    visit(&victim, 2)?;
    let (count, _) = victim.disarm()?;
    let mut found = Found::default();
    for first in extent.of(count) {
        victim.arm(first, row)?;
        let outcome = visit(&victim, first + 3);
        let failed = victim.disarm();
        let served = failed.and_then(|(_, failed)| {
            found.failed += failed;
            visit::fresh(victim.ports())
        });
        match (outcome, victim.board.last_words()) {
            (_, Some(words)) => found.ends.entry(symbols.explain(&words)).or_insert((0, first)).0 += 1,
            (Ok(()), None) => found.served += 1,
            (Err(why), None) => {
                found.refused += 1;
                found.refusals.entry(why.to_string()).or_default().push(first);
            }
        }
        if victim.board.last_words().is_some() {
            victim = Victim::boot(program, None)?;
            victim.upstream.connected()?;
        } else if let Err(why) = served {
            found.stuck.push((first, why.to_string()));
            victim = Victim::boot(program, None)?;
            victim.upstream.connected()?;
        }
    }
    found.report(count)
}

/// Makes each allocation of the start fail.
fn start(program: &Program, symbols: &Symbols, extent: Extent) -> Result<String, Failure> {
    let mut victim = Victim::boot(program, None)?;
    let count = victim.debugger.word(Word::Allocations)?;
    drop(victim);
    let mut found = Found::default();
    for first in extent.of(count) {
        match Victim::boot(program, Some((first, 1))) {
            Ok(mut victim) => {
                found.failed += victim.disarm()?.1;
                match visit::fresh(victim.ports()) {
                    Ok(()) => found.served += 1,
                    Err(why) => found.stuck.push((first, why.to_string())),
                }
            }
            Err(failure) => {
                found.ends.entry(symbols.explain(&failure.to_string())).or_insert((0, first)).0 += 1;
            }
        }
    }
    found.report(count)
}

impl Found {
    /// One line when the board has held; the places where it has not are the failure.
    fn report(self, count: u32) -> Result<String, Failure> {
        let Self { served, refused, refusals, failed, ends, stuck } = self;
        let runs = served + refused + ends.values().map(|(times, _)| times).sum::<u32>();
        let told = format!(
            "{count} allocations, {runs} runs, {failed} refused: {served} runs unharmed, {refused} clients refused"
        );
        if ends.is_empty() && stuck.is_empty() {
            let kinds: Vec<String> =
                refusals.iter().map(|(why, at)| format!("\n{:>17}{} times: {why}", "", at.len())).collect();
            return Ok(told + &kinds.concat());
        }
        let places: Vec<String> = ends
            .iter()
            .map(|(place, (times, first))| {
                format!("  ended {times} times, first at allocation {first}: {place}")
            })
            .collect();
        let places = places.join("\n");
        Err(format!("{told}\n{places}\n  no fresh client after: {stuck:?}\n  refused: {refusals:?}").into())
    }
}
