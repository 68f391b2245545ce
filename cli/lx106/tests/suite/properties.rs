//! Any word, any address, any registers: nothing panics, time goes on.

use espbroker_lx106::{Instruction, Operation, Stop, disassemble};
use proptest::prelude::*;

use crate::board::{Board, CODE, DATA, DEVICE, cpu};

proptest! {
    #[test]
    fn every_word_decodes_and_is_shown(word: u32, pc: u32) {
        let i = Instruction::decode(word, pc);
        let shown = disassemble(word, pc);
        prop_assert_eq!(shown.instruction, i);
        prop_assert!(!shown.to_string().is_empty());
        let [first, ..] = word.to_le_bytes();
        prop_assert_eq!(u32::from(i.length), Instruction::length_of(first));
        let ignored = if i.length == 2 { 0xFFFF_0000 } else { 0xFF00_0000 };
        prop_assert_eq!(Instruction::decode(word | ignored, pc), i);
    }

    #[test]
    fn any_code_with_any_registers_runs_without_panic(
        words in proptest::collection::vec(0_u32..0x100_0000, 1..40),
        a in proptest::array::uniform16(prop_oneof![any::<u32>(), Just(DATA), Just(DEVICE), Just(CODE + 30)]),
        ps: u32,
        sar: u32,
    ) {
        let mut board = Board::new(&words);
        let mut cpu = cpu();
        cpu.a = a;
        cpu.set_special(espbroker_lx106::SpecialRegister::Ps, ps);
        cpu.set_special(espbroker_lx106::SpecialRegister::Sar, sar);
        cpu.set_special(espbroker_lx106::SpecialRegister::Vecbase, CODE);
        for _ in 0..50 {
            match cpu.run(&mut board, 2000) {
                Stop::Until => break,
                Stop::Native => cpu.pc = CODE,
                Stop::Waiting | Stop::Spinning => cpu.pass(100),
                Stop::Simulator => {}
            }
        }
    }

    #[test]
    fn skipping_a_waiting_loop_changes_nothing_but_the_speed(until in 600_u64..20_000) {
        let words = [0x00_2232, 0xFF_9316];
        let run = |idle: bool| {
            let mut board = Board::new(&words);
            let mut cpu = cpu();
            cpu.a[2] = if idle { DATA } else { DATA + 4 };
            loop {
                match cpu.run(&mut board, until) {
                    Stop::Spinning if idle => cpu.skip(until),
                    Stop::Until => return (cpu.pc, cpu.cycles()),
                    _ => {}
                }
            }
        };
        prop_assert_eq!(run(true), run(false));
    }
}

#[test]
fn all_zero_is_illegal_as_the_definition_reserves_it() {
    assert_eq!(Instruction::decode(0, 0).operation, Operation::Ill);
}
