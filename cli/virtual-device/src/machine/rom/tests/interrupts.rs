//! Interrupts and exceptions, with hand-assembled handlers.

use super::*;

const ATTACH: u32 = 0x4000_0F88;
const MASK: u32 = 0x4000_0F98;
const UNMASK: u32 = 0x4000_0FA8;
const SET_HANDLER: u32 = 0x4000_0454;
const MILLISECOND: Duration = Duration::from_millis(1);

impl Bench {
    fn special(&self, register: SpecialRegister) -> u32 {
        self.machine.cpu.special(register)
    }

    fn latch(&mut self, interrupts: &[u32]) {
        let bits = interrupts.iter().map(|number| 1 << number).sum();
        self.machine.cpu.latch_interrupts(bits);
    }

    fn wait(&mut self) {
        self.machine.advance(self.machine.now() + MILLISECOND);
    }
}

#[test]
fn masks_live_in_ram_and_in_intenable() {
    let mut bench = Bench::new();
    assert_eq!(bench.call(UNMASK, &[0x220]), 0);
    assert_eq!(bench.call(MASK, &[0x20]), 0x220);
    assert_eq!((bench.special(SpecialRegister::Intenable), bench.word(0x3FFF_C200)), (0x200, 0x200));
    assert_eq!(bench.call(0x4000_0574, &[0xFF]), u32::MAX, "_xtos_set_vpri");
    assert_eq!(bench.special(SpecialRegister::Intenable), 0);
    assert_eq!(bench.call(ATTACH, &[9, HANDLER, 1]), 0);
    assert_eq!(bench.call(ATTACH, &[9, WAITER, 1]), HANDLER);
    assert_eq!(bench.call(ATTACH, &[9, 0, 0]), WAITER);
    assert_eq!(bench.word(0x3FFF_C278 - 72), 0x4000_DC3C);
    assert_eq!(bench.call(ATTACH, &[14, HANDLER, 1]), 0);
    assert_eq!(bench.word(0x3FFF_C278 - 112), 0x4000_DC3C, "the NMI takes no C function");
}

#[test]
fn locking_is_level_3_and_unlocking_level_0() {
    let mut bench = Bench::new();
    assert_eq!(bench.call(0x4000_0F74, &[]), 0x20);
    assert_eq!((bench.special(SpecialRegister::Ps), bench.word(0x3FFF_DCC0)), (0x23, 0x20));
    bench.call(0x4000_0F80, &[]);
    assert_eq!(bench.special(SpecialRegister::Ps), 0x20);
    assert_eq!(bench.call(0x4000_DBFC, &[2]), 0);
    assert_eq!(bench.call(0x4000_DC18, &[1]), 2);
    assert_eq!(bench.special(SpecialRegister::Ps), 0x22);
    bench.call(0x4000_056C, &[0x20]);
    assert_eq!(bench.special(SpecialRegister::Ps), 0x20);
}

#[test]
fn the_highest_interrupt_is_served_first_with_only_higher_ones_enabled() {
    let mut bench = Bench::new();
    for number in [7, 9, 13] {
        bench.call(ATTACH, &[number, HANDLER, 100 + number]);
    }
    bench.call(UNMASK, &[0x2280]);
    for (number, register) in bench.machine.cpu.a.iter_mut().enumerate() {
        if number != 1 {
            *register = u32::try_from(number).unwrap() * 0x0101_0101;
        }
    }
    bench.machine.cpu.set_special(SpecialRegister::Sar, 23);
    bench.machine.cpu.pc = LOOP;
    let before = bench.machine.cpu.a;
    bench.latch(&[7, 9, 13]);
    bench.wait();
    assert_eq!(bench.log(), [(113, 0), (109, 0x2000), (107, 0x2200)]);
    assert_eq!((bench.machine.cpu.a, bench.machine.cpu.pc), (before, LOOP));
    assert_eq!((bench.special(SpecialRegister::Ps), bench.special(SpecialRegister::Sar)), (0x20, 23));
    assert_eq!(bench.special(SpecialRegister::Intenable), 0x2280);
    assert_eq!(bench.word(0x3FFF_C204), u32::MAX);
}

#[test]
fn a_higher_interrupt_interrupts_a_handler_and_a_lower_one_waits() {
    let mut bench = Bench::new();
    bench.call(ATTACH, &[9, WAITER, 109]);
    bench.call(ATTACH, &[13, HANDLER, 113]);
    bench.call(ATTACH, &[7, HANDLER, 107]);
    bench.call(UNMASK, &[0x2280]);
    bench.machine.cpu.pc = LOOP;
    bench.latch(&[9]);
    bench.wait();
    bench.latch(&[7]);
    bench.wait();
    assert_eq!(bench.log(), [(109, 0x2000)], "the lower one is not enabled");
    bench.latch(&[13]);
    bench.wait();
    assert_eq!(bench.log(), [(109, 0x2000), (113, 0), (109, 0x2000), (107, 0x2200)]);
    assert_eq!(bench.machine.cpu.pc, LOOP);
}

#[test]
fn an_interrupt_comes_between_the_steps_of_a_rom_function() {
    let mut bench = Bench::new();
    bench.call(ATTACH, &[9, HANDLER, 109]);
    bench.call(UNMASK, &[0x200]);
    bench.begin(0x4000_2ECC, &[1000]);
    bench.machine.advance(bench.machine.now() + Duration::from_micros(300));
    let start = bench.machine.now();
    bench.latch(&[9]);
    bench.machine.advance(start + Duration::from_micros(50));
    assert_eq!(bench.log(), [(109, 0)]);
    assert_ne!(bench.machine.cpu.pc, LOOP);
    bench.machine.advance(start + Duration::from_millis(2));
    assert_eq!(bench.machine.cpu.pc, LOOP);
}

#[test]
fn an_interrupt_costs_about_a_hundred_cycles_besides_its_handler() {
    let mut bench = Bench::new();
    bench.call(ATTACH, &[9, HANDLER, 109]);
    bench.call(UNMASK, &[0x200]);
    bench.machine.cpu.raise(espbroker_lx106::Cause::LevelOneInterrupt, 0);
    bench.latch(&[9]);
    let before = bench.machine.cpu.cycles();
    while !(0x4010_0000..0x4011_0000).contains(&bench.machine.cpu.pc) {
        bench.step();
    }
    assert!((40..70).contains(&(bench.machine.cpu.cycles() - before)));
}

#[test]
fn a_c_handler_gets_frame_and_cause_and_may_move_the_program_counter() {
    let mut bench = Bench::new();
    for cause in [3, 9, 29] {
        bench.call(SET_HANDLER, &[cause, SKIPPER]);
    }
    assert_eq!(bench.call(SET_HANDLER, &[3, SKIPPER]), SKIPPER);
    assert_eq!(bench.call(SET_HANDLER, &[64, SKIPPER]), 0);
    bench.machine.cpu.a[2] = BASE;
    bench.machine.cpu.a[5] = DATA + 1;
    bench.machine.cpu.a[6] = 0x100;
    bench.machine.cpu.pc = FAULTS;
    let before = bench.machine.cpu.a;
    bench.wait();
    assert_eq!(bench.log(), [(3, FAULTS), (9, FAULTS + 3), (29, FAULTS + 6)]);
    assert_eq!(bench.machine.cpu.pc, LOOP);
    let after = bench.machine.cpu.a;
    // The SYSCALL behind the faults was skipped by the ROM's own handler, which leaves -1 in a2.
    assert_eq!((after[2], &after[3..]), (u32::MAX, &before[3..]));
    assert_eq!(after[1], before[1]);
}

#[test]
fn without_a_handler_the_cpu_stops_and_says_why() {
    let mut bench = Bench::new();
    bench.call(SET_HANDLER, &[3, 0]);
    bench.machine.cpu.a[2] = BASE;
    bench.machine.cpu.pc = FAULTS;
    assert_eq!(bench.machine.advance(bench.machine.now() + MILLISECOND), crate::machine::Halt::Stuck);
    let trace = bench.machine.bus.trace.join("\n");
    assert!(trace.contains("cause 3, epc1 0x401000c0"), "{trace}");
}

#[test]
fn a_fatal_exception_is_printed_again_and_again() {
    let mut bench = Bench::new();
    bench.machine.cpu.a[2] = BASE;
    bench.machine.cpu.pc = FAULTS;
    bench.machine.advance(bench.machine.now() + Duration::from_millis(40));
    let text = String::from_utf8(bench.sent()).unwrap();
    let lines: Vec<&str> = text.split("\r\n").take(3).collect();
    assert_eq!(
        lines,
        [
            "Fatal exception (3): ",
            "epc1=0x401000c0, epc2=0x00000000, epc3=0x00000000, excvaddr=0x40100000, depc=0x00000000",
            "Fatal exception (3): ",
        ]
    );
}
