//! Power cut at every operation of the flash: the board stops in the middle of each write and each erase, also in the
//! middle of a byte; what the flash holds then is what another board starts with. That one must find its config, and of
//! every retained message the newest that was saved; of those being saved, the old or the new.

use std::{
    collections::BTreeMap,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use espbroker_config::flash_map::{CONFIG_A, STORE};
use espbroker_mqtt::{Packet, QoS};
use espbroker_node::status::{ConfigChoice, Status};

use super::{
    board::{Board, Program, Setup, flash_with},
    caller::{Caller, plain},
    checks::Extent,
    memory,
    start::Word,
    visit::retain,
    worn,
};
use crate::process::{Failure, Tally};

/// How far an operation comes, in 256th: not begun, into the first word, the middle, the last byte.
const SHARES: [u32; 5] = [0, 7, 101, 200, 255];
/// A sector's worth of payload.
const LONG: usize = 3_700;
/// Without an operation for so long, after the first, everything is saved: the device works on without a pause.
const QUIET: Duration = Duration::from_millis(800);
/// Longest wait for the first operation: the device writes 2 s after a change.
const PATIENCE: Duration = Duration::from_secs(10);
/// What can change: both config sectors, and the ring behind them.
const PART: Range<usize> = CONFIG_A.offset as usize..STORE.offset as usize + 64 * 4096;
/// Nothing more comes after so long.
const SILENCE: Duration = Duration::from_millis(300);

type Messages = BTreeMap<String, Vec<u8>>;

/// One power cut.
struct Cut {
    /// Number of the operation, and how far it came.
    operation: u32,
    share: u32,
    /// What the flash held then from the config on, as far as the ring reaches.
    part: Vec<u8>,
    /// What was saved before, and what was to be saved then.
    before: Messages,
    after: Messages,
}

/// Changes that are saved together: a new payload, or an empty one to clear.
fn rounds() -> Vec<Vec<(String, Vec<u8>)>> {
    let small =
        |round: usize, topic: usize| (format!("room/{topic}"), format!("{round}.{topic}").into_bytes());
    let long = |round: usize| ("long".to_owned(), vec![b'a' + u8::try_from(round % 26).unwrap_or(0); LONG]);
    let cleared = |topic: usize| (format!("room/{topic}"), Vec::new());
    vec![
        vec![small(0, 0), small(0, 1), small(0, 2), small(0, 3)],
        vec![long(1), small(1, 1)],
        vec![small(2, 0), cleared(2), long(2)],
        vec![small(3, 2), cleared(0), small(3, 1), small(3, 4)],
        vec![long(4), cleared(3)],
        vec![small(5, 0), small(5, 3), long(5), small(5, 5)],
        vec![cleared(5), ("long".to_owned(), Vec::new())],
        vec![small(7, 1), long(7), small(7, 2)],
    ]
}

/// Each share of the operations is a check.
pub(super) fn run(program: &Program, extent: Extent, tally: &mut Tally) -> Result<(), Failure> {
    let setup = setup();
    let flash = worn::round(&flash_with(&setup.config)?, &setup.config)?;
    let turns = match extent {
        Extent::All => SHARES.len(),
        Extent::Spread(_) | Extent::Only(_) => 1,
    };
    for turn in 0..turns {
        let name = format!("power: cut in each operation of the flash, turn {} of {turns}", turn + 1);
        tally.check_told(&name, || {
            let cuts = cuts(program, &setup, &flash, turn)?;
            let wanted = extent.of(u32::try_from(cuts.len())?);
            let chosen = cuts.iter().filter(|cut| wanted.contains(&cut.operation));
            let mut looked = 0;
            for cut in chosen {
                look(program, &setup, &flash, cut).map_err(|error| {
                    format!("operation {}, {}/256 of it: {error}", cut.operation, cut.share)
                })?;
                looked += 1;
            }
            Ok(format!("{} operations, {looked} starts afterwards", cuts.len()))
        });
    }
    Ok(())
}

fn setup() -> Setup {
    let mut setup = memory::setup(1);
    setup.config.bridges.clear();
    setup
}

/// Runs all rounds on one board, which stands still in the middle of each operation and then completes it.
fn cuts(program: &Program, setup: &Setup, flash: &[u8], turn: usize) -> Result<Vec<Cut>, Failure> {
    let whole = Board::boot(program, setup, flash, None)?;
    let mut debugger = whole.debugger()?;
    let mut next = debugger.word(Word::FlashOperations)? + 1;
    let first = next;
    let mut share = SHARES.iter().copied().cycle().skip(turn);
    let mut coming = share.next().unwrap_or_default();
    debugger.stopped(|board| {
        board.set(Word::CutShare, coming)?;
        board.set(Word::CutAt, next)
    })?;
    let mut caller = Caller::connect(whole.mqtt, plain("owner"))?;
    caller.subscribe("fill", QoS::AtMostOnce)?;
    // Left by the device that wrote the ring before.
    let fill = caller.expect(&[0x31])?;
    let Packet::Publish(fill) = Packet::decode(&fill)? else { return Err("no message".into()) };
    let mut saved = Messages::from([("fill".to_owned(), fill.payload.to_vec())]);
    let mut cuts = Vec::new();
    for round in rounds() {
        let mut after = saved.clone();
        for (topic, payload) in round {
            retain(&mut caller, &topic, &payload)?;
            if payload.is_empty() {
                after.remove(&topic)
            } else {
                after.insert(topic, payload)
            };
        }
        let (begun, operations) = (Instant::now(), next);
        let mut last = Instant::now();
        loop {
            let standing = debugger.stopped(|board| {
                if board.word(Word::Standing)? == 0 {
                    return Ok(None);
                }
                let part = whole.flash()?.drain(PART).collect();
                let cut_share = coming;
                coming = share.next().unwrap_or_default();
                board.set(Word::CutShare, coming)?;
                board.set(Word::CutAt, next + 1)?;
                board.set(Word::Standing, 0)?;
                Ok(Some((part, cut_share)))
            })?;
            match standing {
                Some((part, share)) => {
                    let (before, after) = (saved.clone(), after.clone());
                    cuts.push(Cut { operation: next - first + 1, share, part, before, after });
                    next += 1;
                    last = Instant::now();
                }
                None if next > operations && last.elapsed() > QUIET => break,
                None if begun.elapsed() > PATIENCE && next == operations => {
                    return Err("the device saves nothing".into());
                }
                None => thread::sleep(Duration::from_millis(if next > operations { 3 } else { 50 })),
            }
        }
        saved = after;
    }
    Ok(cuts)
}

/// Starts a board with what a cut left, and looks for every message.
fn look(program: &Program, setup: &Setup, flash: &[u8], cut: &Cut) -> Result<(), Failure> {
    let mut flash = flash.to_vec();
    flash.get_mut(PART).ok_or("the flash is too small")?.copy_from_slice(&cut.part);
    let mut board = Board::boot(program, setup, &flash, None)?;
    board.ask_status("that the config is there", |status| {
        matches!(status, Status::Config(ConfigChoice::Loaded { sequence: 1, .. }))
    })?;
    let found = messages(&board)?;
    let Cut { before, after, .. } = cut;
    for topic in before.keys().chain(after.keys()).chain(found.keys()) {
        let it = found.get(topic);
        if it != before.get(topic) && it != after.get(topic) {
            let told = it.map(|payload| payload.escape_ascii().to_string());
            return Err(format!("`{topic}` is {told:?}").into());
        }
    }
    Ok(())
}

/// All retained messages.
fn messages(board: &Board) -> Result<Messages, Failure> {
    let mut caller = Caller::connect(board.mqtt, plain("reader"))?;
    caller.subscribe("#", QoS::AtMostOnce)?;
    caller.be_patient(SILENCE)?;
    let mut found = Messages::new();
    while let Ok(packet) = caller.packet() {
        let Packet::Publish(publish) = Packet::decode(&packet)? else { return Err("no message".into()) };
        found.insert(publish.topic.as_str().to_owned(), publish.payload.to_vec());
    }
    Ok(found)
}
