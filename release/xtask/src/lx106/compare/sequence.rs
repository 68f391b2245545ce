//! Random instructions that end: computations, loads and stores in scratch memory, branches and calls forward,
//! counted loops, and words that no LX106 instruction has.

use espbroker_lx106::{Instruction, Operation as O, SpecialRegister};

use super::image::Code;
use super::random::Random;

/// One instruction, or a branch whose target is chosen when all places are known.
struct Item {
    word: u32,
    length: u32,
    target: Target,
    /// Whether branches may go here: not between a base address and its use, nor into a counted loop.
    entry: bool,
}

enum Target {
    None,
    /// Wants a literal's address.
    Literal(u32),
    /// Goes to an item behind it.
    Forward,
}

/// Appends a sequence; `aligned` and `odd` are the addresses of literals that point into scratch memory.
pub(super) fn append(code: &mut Code, random: &mut Random, aligned: u32, odd: u32) {
    let length = 4 + random.below(20);
    let mut items = Vec::new();
    for _ in 0..length {
        match random.below(16) {
            0..=7 => items.push(computation(random)),
            8..=10 => {
                let base = random.below(16);
                let literal = if random.below(5) == 0 { odd } else { aligned };
                items.push(Item {
                    word: 0x01 | base << 4,
                    length: 3,
                    target: Target::Literal(literal),
                    entry: true,
                });
                items.push(Item { entry: false, ..memory(random, base) });
            }
            11..=13 => items.push(branch(random)),
            14 => items.push(any(random)),
            _ => counted_loop(&mut items, random),
        }
    }
    place(code, random, &items);
}

/// Gives branches their targets and appends everything.
fn place(code: &mut Code, random: &mut Random, items: &[Item]) {
    let mut end = code.here();
    let mut places = Vec::new();
    for item in items {
        places.push((end, item.entry));
        end += item.length;
    }
    for (index, item) in items.iter().enumerate() {
        let mut word = item.word;
        match item.target {
            Target::None => {}
            Target::Literal(literal) => {
                code.l32r(word >> 4 & 15, literal);
                continue;
            }
            Target::Forward => {
                let skipped = index + 1 + random.below(8) as usize;
                let target = places.iter().skip(skipped).find(|(_, entry)| *entry).map_or(end, |(at, _)| *at);
                word = aim(word, code.here(), target);
            }
        }
        if item.length == 2 {
            let [a, b, ..] = word.to_le_bytes();
            code.bytes.extend([a, b]);
        } else {
            code.wide(word);
        }
    }
}

/// A branch or call with its target; what does not reach becomes a NOP.
fn aim(word: u32, at: u32, target: u32) -> u32 {
    let distance = target.wrapping_sub(at.wrapping_add(4));
    let near = |bits: u32| distance < 1 << bits || distance.wrapping_neg() <= 1 << bits;
    match (word & 15, word >> 4 & 3) {
        (5, _) => {
            let distance = target.wrapping_sub((at & !3).wrapping_add(4));
            if distance & 3 == 0 { word | (distance >> 2) << 6 } else { 0x20F0 }
        }
        (6, 0) => word | distance << 6,
        (6, 1) if near(11) => word | (distance & 0xFFF) << 12,
        (6 | 7, _) if near(7) => word | (distance & 0xFF) << 16,
        (12, _) if distance < 64 => word | (distance & 15) << 12 | (distance >> 4) << 4,
        (12, _) => 0xF03D,
        _ => 0x20F0,
    }
}

/// A random word that decodes to an operation of the wanted kind.
fn draw(random: &mut Random, narrow: bool, wanted: fn(Instruction) -> bool) -> Item {
    loop {
        let word = random.bits() & 0xFF_FFFF;
        let word = if narrow { word & 0xFFF7 | 8 } else { word & 0xFF_FFF0 };
        let instruction = Instruction::decode(word, 0);
        if wanted(instruction) {
            return Item { word, length: u32::from(instruction.length), target: Target::None, entry: true };
        }
    }
}

/// Arithmetic, shifts, moves, and special registers without side effects.
fn computation(random: &mut Random) -> Item {
    match random.below(8) {
        0 => draw(random, true, |i| matches!(i.operation, O::AddN | O::AddiN | O::MoviN | O::MovN | O::NopN)),
        1 => {
            // MOVI, ADDI, ADDMI
            let kind = random.pick(&[10, 12, 13]);
            let word = random.bits() & 0xFF_0FF0 | kind << 12 | 2;
            Item { word, length: 3, target: Target::None, entry: true }
        }
        2 => {
            let word = random.bits() & 0xF1_FFF0 | 4 << 16; // EXTUI
            Item { word, length: 3, target: Target::None, entry: true }
        }
        _ => draw(random, false, is_computation),
    }
}

fn is_computation(i: Instruction) -> bool {
    match i.operation {
        // A shift by 32 is not defined.
        O::Slli => i.immediate < 32,
        O::Rsr | O::Wsr | O::Xsr => {
            SpecialRegister::from_number(i.immediate.to_le_bytes()[0]).is_some_and(is_plain)
        }
        O::Simcall | O::Waiti | O::Rfe | O::Rfde | O::Rfi | O::Syscall | O::Break | O::Ill => false,
        O::Jx | O::Ret | O::Callx0 => false,
        operation => !is_address_translation(operation),
    }
}

/// Whether the register does nothing but hold what is written, and its value does not depend on time.
fn is_plain(register: SpecialRegister) -> bool {
    use SpecialRegister as S;
    matches!(
        register,
        S::Sar
            | S::Ddr
            | S::Epc1
            | S::Epc3
            | S::Depc
            | S::Eps3
            | S::Excsave1
            | S::Excvaddr
            | S::Exccause
            | S::Ibreaka0
            | S::Dbreaka0
            | S::Prid
            | S::Configid0
            | S::Configid1
    )
}

fn is_address_translation(operation: O) -> bool {
    matches!(
        operation,
        O::Idtlb
            | O::Iitlb
            | O::Pdtlb
            | O::Pitlb
            | O::Rdtlb0
            | O::Rdtlb1
            | O::Ritlb0
            | O::Ritlb1
            | O::Wdtlb
            | O::Witlb
            | O::Rer
            | O::Wer
    )
}

/// A load or store through `base`.
fn memory(random: &mut Random, base: u32) -> Item {
    let register = random.below(16) << 4;
    if random.below(3) == 0 {
        let word = random.pick(&[8, 9]) | register | base << 8 | random.below(16) << 12;
        return Item { word, length: 2, target: Target::None, entry: true };
    }
    let kind = random.pick(&[0, 1, 2, 4, 5, 6, 9]);
    let word = 2 | register | base << 8 | kind << 12 | random.below(256) << 16;
    Item { word, length: 3, target: Target::None, entry: true }
}

/// A branch, jump or call forward.
fn branch(random: &mut Random) -> Item {
    let s = random.below(16) << 8;
    let (word, length) = match random.below(16) {
        0 => (0x06, 3),
        1 => (0x05, 3),
        2 | 3 => (12 | 8 << 4 | random.below(2) << 6 | s, 2),
        4 | 5 => (0x16 | random.below(4) << 6 | s, 3),
        6..=8 => (random.pick(&[0x26, 0x66, 0xA6, 0xE6, 0xB6, 0xF6]) | s | random.below(16) << 12, 3),
        _ => (7 | s | random.below(16) << 4 | random.below(16) << 12, 3),
    };
    Item { word, length, target: Target::Forward, entry: true }
}

/// Any word that cannot lose control: what does not exist, what raises an exception by itself.
fn any(random: &mut Random) -> Item {
    loop {
        let word = random.bits() & 0xFF_FFFF;
        // Most of them where opcodes are dense: register to register, system, 16-bit system.
        let word = match random.below(4) {
            0 => word,
            1 => word & 0xFF_FFF0,
            2 => word & 0x00_FFF0,
            _ => word & 0x0FF0 | 0xF00D,
        };
        let i = Instruction::decode(word, 0);
        let harmless = matches!(i.operation, O::Ill | O::IllN | O::Syscall | O::Break | O::BreakN | O::Rsil);
        // QEMU 7.2 takes RFI to levels that the CPU does not have, and crashes.
        if harmless && word & 15 < 14 && word & 0xFF_F0FF != 0x3010 {
            return Item { word, length: u32::from(i.length), target: Target::None, entry: true };
        }
    }
}

/// A loop of a few computations that leave its counter alone.
fn counted_loop(items: &mut Vec<Item>, random: &mut Random) {
    let counter = random.below(16);
    let count = 1 + random.below(15);
    items.push(Item { word: 12 | counter << 8 | count << 12, length: 2, target: Target::None, entry: true });
    let body: Vec<Item> = (0..1 + random.below(4))
        .filter_map(|_| {
            let item = computation(random);
            let i = Instruction::decode(item.word, 0);
            let spares = [i.r, i.s, i.t].iter().all(|register| u32::from(*register) != counter);
            spares.then_some(item)
        })
        .collect();
    let length: u32 = body.iter().map(|item| item.length).sum();
    items.extend(body.into_iter().map(|item| Item { entry: false, ..item }));
    items.push(Item {
        word: 11 | counter << 8 | counter << 12,
        length: 2,
        target: Target::None,
        entry: false,
    });
    // Back over the body and ADDI.N.
    let distance = 0_u32.wrapping_sub(length + 2 + 4) & 0xFFF;
    items.push(Item {
        word: 0x56 | counter << 8 | distance << 12,
        length: 3,
        target: Target::None,
        entry: false,
    });
}
