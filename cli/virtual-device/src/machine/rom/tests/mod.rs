//! ROM functions, called through the machine with registers set.

mod arithmetic;
mod flash;
mod interrupts;
mod memory;
mod printf;
mod system;

use std::time::Duration;

use espbroker_lx106::{Bus as _, SpecialRegister, Width};

use crate::boot::{Cause, Strap};
use crate::machine::board::{Board, SharedNor};
use crate::machine::{Machine, Step, rom};
use crate::nor::{FlashSource, Nor};
use crate::timing::Pace;

/// Where [`CODE`] is.
const BASE: u32 = 0x4010_0000;
/// A loop without an end.
const LOOP: u32 = BASE;
/// Logs its argument and INTENABLE.
const HANDLER: u32 = BASE + 0x10;
/// Logs the same, waits until somebody else has logged, and logs again.
const WAITER: u32 = BASE + 0x40;
/// C exception handler: logs cause and EPC1, and goes on 3 bytes behind.
const SKIPPER: u32 = BASE + 0x80;
/// `l8ui a3, a2, 0`, `l32i a4, a5, 0`, `s32i a4, a6, 0`, `syscall`, and the loop.
const FAULTS: u32 = BASE + 0xC0;
/// Output function: logs a byte.
const OUTPUT: u32 = BASE + 0xE0;
/// Function of a task: logs the two words of its event.
const TASK: u32 = BASE + 0x100;

/// ```text
/// loop:    j loop
///          .word LOG
/// handler: l32r a4, 4;  l32i a5, a4, 0;  s32i a2, a5, 0;  rsr.intenable a6;  s32i a6, a5, 4
///          addi a5, a5, 8;  s32i a5, a4, 0;  ret
/// waiter:  l32r a4, 4;  l32i a5, a4, 0;  s32i a2, a5, 0;  rsr.intenable a6;  s32i a6, a5, 4
///          addi a5, a5, 8;  s32i a5, a4, 0
/// wait:    l32i a6, a4, 0;  beq a6, a5, wait
///          s32i a2, a6, 0;  rsr.intenable a5;  s32i a5, a6, 4;  addi a6, a6, 8;  s32i a6, a4, 0;  ret
/// skipper: l32r a4, 4;  l32i a5, a4, 0;  s32i a3, a5, 0;  l32i a6, a2, 0;  s32i a6, a5, 4
///          addi a5, a5, 8;  s32i a5, a4, 0;  addi a6, a6, 3;  s32i a6, a2, 0;  ret
/// faults:  l8ui a3, a2, 0;  l32i a4, a5, 0;  s32i a4, a6, 0;  syscall;  j loop
/// output:  l32r a4, 4;  l32i a5, a4, 0;  s8i a2, a5, 0;  addi a5, a5, 1;  s32i a5, a4, 0;  ret
/// task:    l32r a4, 4;  l32i a5, a4, 0;  l32i a6, a2, 0;  s32i a6, a5, 0;  l32i a6, a2, 4
///          s32i a6, a5, 4;  addi a5, a5, 8;  s32i a5, a4, 0;  ret
/// ```
#[rustfmt::skip]
const CODE: [u32; 71] = [
    0x00FF_FF06, 0x3FFE_9000, 0, 0,
    0x52FF_FD41, 0x6522_0024, 0x03E4_6000, 0x5201_6562, 0x6452_08C5, 0x0000_8000, 0, 0, 0, 0, 0, 0,
    0x52FF_F141, 0x6522_0024, 0x03E4_6000, 0x5201_6562, 0x6452_08C5, 0x0024_6200, 0x22F9_1657, 0xE450_0066,
    0x0166_5203, 0x6208_C662, 0x0080_0064, 0, 0, 0, 0, 0,
    0x52FF_E141, 0x6532_0024, 0x0022_6200, 0x5201_6562, 0x6452_08C5, 0x03C6_6200, 0x8000_6262, 0,
    0, 0, 0, 0, 0, 0, 0, 0,
    0x4200_0232, 0x6642_0025, 0x0050_0000, 0x00FF_CC06, 0, 0, 0, 0,
    0x52FF_C941, 0x4522_0024, 0x01C5_5200, 0x8000_6452, 0, 0, 0, 0,
    0x52FF_C141, 0x2262_0024, 0x0065_6200, 0x6201_2262, 0xC552_0165, 0x0064_5208, 0x0000_0080,
];
/// Where the log's next entry goes, and the first.
const LOG: u32 = 0x3FFE_9000;
const LOGGED: u32 = LOG + 4;
/// Room for data.
const DATA: u32 = 0x3FFE_A000;

struct Bench {
    machine: Machine,
}

impl Bench {
    fn new() -> Self {
        Self::with_flash(Vec::new())
    }

    fn with_flash(contents: Vec<u8>) -> Self {
        let source = FlashSource::Bytes(contents);
        let nor = Nor::new(source, 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 0).unwrap();
        let mut machine = Machine::new(Board::without_faults(SharedNor::new(nor), [1, 2, 3, 4, 5, 6]));
        machine.restart(Cause::PowerOn, Strap::Flash);
        let code: Vec<u8> = CODE.into_iter().flat_map(u32::to_le_bytes).collect();
        assert!(machine.bus.upload(BASE, &code));
        machine.enter(LOOP, Duration::from_millis(1));
        let mut bench = Self { machine };
        bench.put_word(LOG, LOGGED);
        // Bits of the controller as after spi_flash_attach: a quarter of the clock.
        bench.put_word(0x6000_0208, 0x313);
        bench
    }

    /// Prepares the call of a function that comes back to the loop.
    fn begin(&mut self, function: u32, arguments: &[u32]) {
        self.machine.cpu.a[2..2 + arguments.len()].copy_from_slice(arguments);
        self.machine.cpu.a[0] = LOOP;
        self.machine.cpu.pc = function;
    }

    /// One step of what is at PC in the ROM, with the time that it takes.
    fn step(&mut self) -> Step {
        let step = rom::step(&mut self.machine);
        let cpu = &mut self.machine.cpu;
        match step {
            Step::Return { cycles } | Step::Go { cycles } => cpu.pass(cycles),
            Step::Wait { until } => {
                let cycle = self.machine.bus.time.cycle_at(until);
                cpu.pass(cycle.saturating_sub(cpu.cycles()).clamp(1, 520_000));
            }
            Step::Stuck(_) => {}
        }
        let now = self.machine.cpu.cycles();
        self.machine.bus.touch();
        self.machine.bus.poll(now);
        step
    }

    /// Calls a function that calls no machine code; gives a2.
    fn call(&mut self, function: u32, arguments: &[u32]) -> u32 {
        let before = self.machine.cpu.a;
        self.begin(function, arguments);
        for _ in 0..1_000_000 {
            if self.machine.cpu.pc == LOOP {
                let after = self.machine.cpu.a;
                assert_eq!((before[1], &before[12..]), (after[1], &after[12..]), "callee-saved registers");
                return after[2];
            }
            if let Step::Stuck(why) = self.step() {
                panic!("{why}");
            }
        }
        panic!("{function:#x} does not come back");
    }

    /// The same, and how long it took.
    fn timed(&mut self, function: u32, arguments: &[u32]) -> (u32, Duration) {
        let before = self.machine.now();
        (self.call(function, arguments), self.machine.now() - before)
    }

    /// Calls a function that may call machine code; gives a2.
    fn run(&mut self, function: u32, arguments: &[u32]) -> u32 {
        self.begin(function, arguments);
        for _ in 0..1000 {
            self.machine.advance(self.machine.now() + Duration::from_micros(100));
            if self.machine.cpu.pc == LOOP {
                return self.machine.cpu.a[2];
            }
        }
        panic!("{function:#x} does not come back: {:?} {:?}", self.machine.cpu, self.machine.bus.trace);
    }

    /// Calls a function and gives the exception that it raises: cause, address, and where.
    fn exception(&mut self, function: u32, arguments: &[u32]) -> (u32, u32, u32) {
        self.begin(function, arguments);
        for _ in 0..1000 {
            self.step();
            if self.machine.cpu.pc == 0x4000_0050 {
                break;
            }
        }
        let special = |register| self.machine.cpu.special(register);
        let result =
            [SpecialRegister::Exccause, SpecialRegister::Excvaddr, SpecialRegister::Epc1].map(special);
        self.machine.cpu.set_special(SpecialRegister::Ps, 0x20);
        result.into()
    }

    fn word(&mut self, address: u32) -> u32 {
        self.machine.load(address, Width::Word).unwrap()
    }

    fn put_word(&mut self, address: u32, value: u32) {
        self.machine.store(address, Width::Word, value).unwrap();
    }

    fn bytes(&mut self, address: u32, length: u32) -> Vec<u8> {
        let words: Vec<u8> =
            (address & !3..address + length).step_by(4).flat_map(|at| self.word(at).to_le_bytes()).collect();
        words[(address & 3) as usize..][..length as usize].to_vec()
    }

    fn put(&mut self, address: u32, bytes: &[u8]) {
        assert!(self.machine.bus.upload(address, bytes));
    }

    /// What was logged, in pairs of words.
    fn log(&mut self) -> Vec<(u32, u32)> {
        let end = self.word(LOG);
        (LOGGED..end).step_by(8).map(|at| (self.word(at), self.word(at + 4))).collect()
    }

    /// What was logged, in bytes.
    fn logged_text(&mut self) -> String {
        let length = self.word(LOG) - LOGGED;
        self.put_word(LOG, LOGGED);
        String::from_utf8(self.bytes(LOGGED, length)).unwrap()
    }

    /// What the host got.
    fn sent(&mut self) -> Vec<u8> {
        let line = &mut self.machine.bus.line;
        std::iter::from_fn(|| line.to_host.receive(Duration::MAX)).map(|symbol| symbol.byte).collect()
    }
}

#[test]
fn the_table_has_each_address_once() {
    let addresses: Vec<u32> = rom::TABLE.iter().map(|&(address, ..)| address).collect();
    assert!(addresses.windows(2).all(|pair| pair[0] < pair[1]), "{addresses:x?}");
    assert!(addresses.iter().all(|address| (0x4000_0000..0x4001_0000).contains(address)));
}

#[test]
fn an_address_without_a_function_says_so_and_who_called_it() {
    let mut bench = Bench::new();
    bench.begin(0x4000_7268, &[]);
    let Step::Stuck(why) = bench.step() else { panic!("it went on") };
    assert_eq!(why, "the boot ROM has no function at 0x40007268 in this device, called from 0x40100000");
}
