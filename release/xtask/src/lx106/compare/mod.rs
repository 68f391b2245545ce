//! `lx106 compare`: the interpreter beside QEMU's LX106.
//!
//! Both execute the same machine code: thousands of random sequences, then the self-check program. Registers, SAR,
//! memory, exceptions (cause, address, place, PS) and output must be equal.

mod guest;
mod image;
mod random;
mod sequence;

use std::{fs, process::Command, time::Instant};

use clap::Args;
use espbroker_lx106::{Instruction, disassemble};

use self::{guest::Board, image::Program, random::Random};
use crate::{
    lx106::{build, check, elf},
    process::{Failure, Tally, missing, scratch},
};

/// Cycles after which a program on the interpreter counts as stuck.
const LIMIT: u64 = 2_000_000_000;

/// How much to compare.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Begin the random sequences with this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Programs, each of 4000 sequences
    #[arg(long, default_value_t = 5)]
    programs: u64,
    /// Leave out the self-check program
    #[arg(long = "no-self-check", action = clap::ArgAction::SetFalse)]
    self_check: bool,
}

/// Runs the comparison.
///
/// # Errors
///
/// When QEMU is missing or anything differs.
pub(crate) fn run(options: &Compare) -> Result<(), Failure> {
    let mut tally = Tally::default();
    for seed in options.seed..options.seed.saturating_add(options.programs) {
        tally.check(&format!("4000 random sequences, seed {seed}"), || sequences(seed));
    }
    if options.self_check {
        tally.check("the self-check program", self_check);
    }
    tally.close()
}

/// The self-check's output on both.
fn self_check() -> Result<(), Failure> {
    let path = build::build(check::PROGRAM)?;
    let file = fs::read(&path)?;
    let program = elf::read(&file)?;
    let mut board = Board::new();
    for segment in &program.segments {
        board.write(segment.address, segment.data)?;
    }
    let begun = Instant::now();
    let ours = board.run(program.entry, LIMIT)?;
    let seconds = begun.elapsed().as_secs_f64();
    let theirs = check::on_qemu(&path)?;
    println!("{} instructions, {} bytes of output, {seconds:.2} s", ours.cycles, ours.output.len());
    let ours_text = String::from_utf8_lossy(&ours.output);
    if ours.code != 0 {
        return Err(format!("the program ended with {}:\n{ours_text}", ours.code).into());
    }
    let differing = ours_text.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
    match differing {
        Some((ours, theirs)) => Err(format!("interpreter {ours}\nQEMU        {theirs}").into()),
        None if ours_text.lines().count() == theirs.lines().count() => Ok(()),
        None => Err("one printed more lines than the other".into()),
    }
}

/// The bytes that QEMU's board prints when it runs an image from its start, and the exit code.
fn in_qemu(image: &[u8], seed: u64) -> Result<Vec<u8>, Failure> {
    let folder = scratch().join("lx106-compare");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("seed-{seed}.bin"));
    fs::write(&file, image)?;
    let name = "qemu-system-xtensa";
    let output = Command::new("timeout")
        .args(["60", name, "-M", "sim", "-cpu", "lx106", "-semihosting", "-display", "none"])
        .args(["-monitor", "none", "-serial", "stdio", "-device"])
        .arg(format!("loader,file={},addr={:#x},force-raw=on,cpu-num=0", file.display(), image::BASE))
        .output()
        .map_err(|error| missing(name, &error))?;
    if output.status.success() {
        fs::remove_file(&file)?;
        Ok(output.stdout)
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("QEMU ended with {}, image in {}: {text}", output.status, file.display()).into())
    }
}

fn sequences(seed: u64) -> Result<(), Failure> {
    let program = image::generate(&mut Random::new(seed), 4000);
    let mut board = Board::new();
    board.write(image::BASE, &program.image)?;
    let begun = Instant::now();
    let ours = board.run(image::BASE, LIMIT);
    let seconds = begun.elapsed().as_secs_f64();
    let ours = ours?;
    if ours.code != 0 {
        return Err(format!("the program ended with {} after {} instructions", ours.code, ours.cycles).into());
    }
    let theirs = in_qemu(&program.image, seed)?;
    println!("{} instructions, {} bytes of results, {seconds:.2} s", ours.cycles, ours.output.len());
    same(&program, &ours.output, &theirs)
}

/// Fails with the first case that differs: its instructions, and both results.
fn same(program: &Program, ours: &[u8], theirs: &[u8]) -> Result<(), Failure> {
    if ours == theirs {
        return Ok(());
    }
    let length = image::RECORD_LENGTH as usize;
    let records = program.records_length();
    let split = |output: &[u8]| -> Vec<Vec<u32>> {
        let records = output.get(..records).unwrap_or_default();
        records.chunks(length).map(words).collect()
    };
    let pairs = split(ours).into_iter().zip(split(theirs)).zip(&program.cases);
    let mut differing = pairs.filter(|((ours, theirs), _)| ours != theirs);
    let Some(((ours, theirs), (from, to))) = differing.next() else {
        let at = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
        let rest = |output: &[u8]| {
            words(output.get(at.unwrap_or(0) & !15..).unwrap_or_default().get(..64).unwrap_or_default())
        };
        return Err(format!(
            "registers are equal, output differs from byte {at:?} (records end at {records}), {} and {} bytes\nours   {:08x?}\ntheirs {:08x?}",
            ours.len(),
            theirs.len(),
            rest(ours),
            rest(theirs)
        )
        .into());
    };
    let mut text = format!("{} cases differ, the first:\n", differing.count() + 1);
    let mut at = *from;
    while at < *to {
        let bytes = program.image.get((at - image::BASE) as usize..).and_then(|bytes| bytes.first_chunk());
        let word = bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let length = Instruction::length_of(word.to_le_bytes()[0]);
        text.push_str(&format!("{at:08x} {:06x} {}\n", word & 0xFF_FFFF, disassemble(word, at)));
        at += length;
    }
    for (index, (ours, theirs)) in
        ours.iter().zip(&theirs).enumerate().filter(|(_, (ours, theirs))| ours != theirs)
    {
        let name = match index {
            16 => "sar".to_owned(),
            17 => "ps".to_owned(),
            number => format!("a{number}"),
        };
        text.push_str(&format!("{name}: interpreter {ours:08x}, QEMU {theirs:08x}\n"));
    }
    Err(text.into())
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .filter_map(|word| word.first_chunk())
        .map(|word| u32::from_le_bytes(*word))
        .collect()
}
