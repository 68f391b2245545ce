//! Interrupts: level-1, the timer, software, NMI, and WAITI.

use espbroker_lx106::{SpecialRegister as S, Stop};

use crate::board::{Board, CODE, cpu};

const NOPS: [u32; 8] = [0xF03D; 8];

#[test]
fn a_level_interrupt_is_taken_between_instructions_and_follows_its_line() {
    let mut board = Board::new(&NOPS);
    let mut cpu = cpu();
    board.levels = 1 << 5;
    cpu.run(&mut board, 2);
    assert_eq!((cpu.pc, cpu.special(S::Interrupt)), (CODE + 4, 1 << 5));
    cpu.set_special(S::Intenable, 1 << 5);
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!((cpu.pc, cpu.special(S::Epc1), cpu.special(S::Exccause)), (0x4000_0050, CODE + 4, 4));
    cpu.set_special(S::Intclear, u32::MAX);
    assert_eq!(cpu.special(S::Interrupt), 1 << 5);
    board.levels = 0;
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!(cpu.special(S::Interrupt), 0);
}

#[test]
fn an_edge_stays_latched_until_it_is_cleared() {
    let mut board = Board::new(&NOPS);
    let mut cpu = cpu();
    board.edges = 1 << 9;
    cpu.run(&mut board, 1);
    cpu.run(&mut board, 2);
    assert_eq!(cpu.special(S::Interrupt), 1 << 9);
    cpu.set_special(S::Intclear, 1 << 9);
    assert_eq!(cpu.special(S::Interrupt), 0);
}

#[test]
fn level_and_exception_mode_mask_interrupts() {
    for ps in [0x21, 0x30] {
        let mut board = Board::new(&NOPS);
        let mut cpu = cpu();
        cpu.set_special(S::Ps, ps);
        cpu.set_special(S::Intenable, 1 << 7);
        cpu.set_special(S::Interrupt, u32::MAX);
        assert_eq!(cpu.special(S::Interrupt), 1 << 7);
        assert_eq!(cpu.run(&mut board, 3), Stop::Until);
        assert_eq!(cpu.pc, CODE + 6);
    }
}

#[test]
fn rsil_returns_the_old_state_and_the_interrupt_comes_when_it_is_restored() {
    // rsil a4, 1; nop.n; wsr.ps a4; nop.n
    let mut board = Board::new(&[0x00_6140, 0xF03D, 0x13_E640, 0xF03D]);
    let mut cpu = cpu();
    cpu.set_special(S::Intenable, 1);
    cpu.run(&mut board, 1);
    board.levels = 1;
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!((cpu.a[4], cpu.special(S::Epc1)), (0x20, CODE + 8));
}

#[test]
fn the_timer_fires_when_ccount_reaches_ccompare() {
    let mut board = Board::new(&NOPS);
    let mut cpu = cpu();
    cpu.set_special(S::Ccount, 0xFFFF_FFFE);
    cpu.set_special(S::Ccompare0, 3);
    cpu.set_special(S::Intenable, 1 << 6);
    assert_eq!(cpu.timer_due(), 5);
    assert_eq!(cpu.run(&mut board, 20), Stop::Native);
    assert_eq!((cpu.special(S::Epc1), cpu.cycles()), (CODE + 10, 6));
    cpu.set_special(S::Ccompare0, 3);
    assert_eq!(cpu.special(S::Interrupt), 0);
    assert_eq!(cpu.timer_due(), 5 + (1 << 32));
    cpu.pass(1 << 32);
    assert_eq!(cpu.special(S::Interrupt), 1 << 6);
}

#[test]
fn the_nmi_comes_through_every_mask_once() {
    let mut board = Board::new(&[0xF03D, 0x00_3310]);
    let mut cpu = cpu();
    cpu.set_special(S::Ps, 0x3F);
    board.edges = 1 << 14;
    assert_eq!(cpu.run(&mut board, 5), Stop::Native);
    assert_eq!((cpu.pc, cpu.special(S::Ps)), (0x4000_0020, 0x33));
    assert_eq!((cpu.special(S::Epc3), cpu.special(S::Eps3)), (CODE, 0x3F));
    cpu.pc = CODE + 2;
    cpu.run(&mut board, cpu.cycles() + 1);
    assert_eq!((cpu.pc, cpu.special(S::Ps)), (CODE, 0x3F));
}

#[test]
fn waiti_waits_for_an_interrupt_and_returns_behind_itself() {
    let mut board = Board::new(&[0x00_7000, 0xF03D]);
    let mut cpu = cpu();
    cpu.set_special(S::Ps, 0x2F);
    cpu.set_special(S::Intenable, 1 << 6);
    cpu.set_special(S::Ccompare0, 100);
    assert_eq!(cpu.run(&mut board, 1000), Stop::Waiting);
    assert_eq!((cpu.pc, cpu.cycles(), cpu.is_waiting()), (CODE + 3, 1, true));
    assert_eq!(cpu.run(&mut board, 1000), Stop::Waiting);
    cpu.pass(cpu.timer_due() - cpu.cycles());
    assert_eq!(cpu.run(&mut board, 1000), Stop::Native);
    assert_eq!((cpu.special(S::Epc1), cpu.special(S::Ps), cpu.is_waiting()), (CODE + 3, 0x30, false));
}
