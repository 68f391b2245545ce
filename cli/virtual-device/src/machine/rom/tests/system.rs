//! UART, delays, tasks, timers, watchdog, pins, registers.

use super::*;
use crate::machine::Halt;

const POST: u32 = 0x4000_0E24;
const RUN: u32 = 0x4000_0E04;
const TRANSMIT: u32 = 0x4000_3B30;
const FRC2: u32 = 0x6000_0620;

#[test]
fn a_delay_counts_eighty_cycles_for_a_microsecond_whatever_the_clock_is() {
    let mut bench = Bench::new();
    let (_, time) = bench.timed(0x4000_2ECC, &[1000]);
    assert!((1538..1542).contains(&time.as_micros()), "{time:?}");
    bench.call(0x4000_2F04, &[52]);
    assert_eq!(bench.call(0x4000_2F0C, &[]), 52);
    let (_, time) = bench.timed(0x4000_2ECC, &[1000]);
    assert!((1000..1003).contains(&time.as_micros()), "{time:?}");
}

#[test]
fn transmitting_waits_for_an_empty_fifo_and_leaves_no_gap() {
    let mut bench = Bench::new();
    let (_, first) = bench.timed(TRANSMIT, &[0x41]);
    assert!(first < Duration::from_micros(1));
    let start = bench.machine.now();
    for _ in 0..100 {
        assert_eq!(bench.call(TRANSMIT, &[0x42]), 0);
    }
    let time = bench.machine.now() - start;
    let character = Duration::from_nanos(133_460);
    assert!(time > character * 98 && time < character * 101, "{time:?}");
    bench.machine.advance(bench.machine.now() + Duration::from_millis(1));
    assert_eq!(bench.sent().len(), 101);
}

#[test]
fn receiving_takes_a_byte_or_says_that_there_is_none() {
    let mut bench = Bench::new();
    bench.call(0x4000_39D8, &[0, 451]);
    assert_eq!(bench.word(0x6000_0014), 451);
    assert_eq!(bench.call(0x4000_3B8C, &[DATA]), 1);
    let now = bench.machine.now();
    bench.machine.bus.line.host_sends(0x55, now);
    bench.machine.bus.line.host_sends(0x66, now);
    assert_eq!(bench.call(0x4000_3B64, &[]), 0x55);
    assert!(bench.machine.now() - now >= Duration::from_micros(86));
    bench.call(0x4000_2ECC, &[200]);
    assert_eq!(bench.call(0x4000_3B8C, &[DATA]), 0);
    assert_eq!(bench.bytes(DATA, 1), [0x66]);
}

#[test]
fn the_receive_interrupt_fills_the_ring() {
    let mut bench = Bench::new();
    bench.call(0x4000_383C, &[]);
    bench.call(0x4000_3A14, &[0]);
    assert_eq!((bench.word(0x6000_0014), bench.word(0x6000_0024)), (694, 1));
    bench.call(0x4000_39D8, &[0, 451]);
    bench.call(0x4000_0FA8, &[0x20]);
    let now = bench.machine.now();
    for byte in *b"ring" {
        bench.machine.bus.line.host_sends(byte, now);
    }
    bench.machine.cpu.pc = LOOP;
    bench.machine.advance(now + Duration::from_millis(5));
    let read = |bench: &mut Bench| bench.call(0x4000_3EC8, &[0x3FFF_DE28, DATA]);
    for byte in *b"ring" {
        assert_eq!(read(&mut bench), 0);
        assert_eq!(bench.bytes(DATA, 1), [byte]);
    }
    assert_eq!(read(&mut bench), 1);
    assert_eq!(bench.call(0x4000_3F4C, &[]), 0x3FFF_DE10);
}

#[test]
fn a_packet_is_framed_and_escaped() {
    let mut bench = Bench::new();
    bench.put(DATA, &[1, 0xC0, 0xDB, 2]);
    assert_eq!(bench.call(0x4000_3CF4, &[DATA, 4]), 0);
    bench.machine.advance(bench.machine.now() + Duration::from_millis(1));
    assert_eq!(bench.sent(), [0xC0, 1, 0xDB, 0xDC, 0xDB, 0xDD, 2, 0xC0]);
}

#[test]
fn the_rate_is_detected_from_the_pulses_on_the_line() {
    let mut bench = Bench::new();
    assert_eq!(bench.call(0x4000_3924, &[0, 1]), 0, "nothing came yet");
    let now = bench.machine.now();
    for _ in 0..12 {
        bench.machine.bus.line.host_sends(0x55, now);
    }
    let divider = bench.call(0x4000_3924, &[0, 0]);
    assert!((451..=464).contains(&divider), "{divider}");
}

#[test]
fn a_software_reset_resets_the_chip() {
    let mut bench = Bench::new();
    bench.begin(0x4000_264C, &[]);
    let until = bench.machine.now() + Duration::from_millis(1);
    assert!(matches!(bench.machine.advance(until), Halt::Reset(_)));
}

#[test]
fn code_that_returns_to_main_boots_or_is_done() {
    let mut bench = Bench::new();
    bench.machine.cpu.pc = 0x4000_10A8;
    assert_eq!(bench.machine.advance(Duration::from_secs(1)), Halt::BootFromFlash);
    let mut bench = Bench::new();
    bench.machine.cpu.pc = 0x4000_1100;
    bench.machine.advance(Duration::from_secs(1));
    assert_eq!(bench.sent(), b"user code done\r\n");
    assert_eq!(bench.machine.cpu.special(SpecialRegister::Ps) & 0xF, 0, "it waits for tasks");
}

#[test]
fn tasks_run_by_priority_and_queues_fill_up() {
    let mut bench = Bench::new();
    bench.call(0x4000_0DD0, &[TASK, 3, DATA, 2]);
    bench.call(0x4000_0DD0, &[TASK, 32, DATA + 0x40, 2]);
    for (priority, signal, result) in [(3, 1, 0), (3, 2, 0), (3, 3, 1), (32, 4, 0)] {
        assert_eq!(bench.call(POST, &[priority, signal, signal + 100]), result);
    }
    bench.begin(RUN, &[]);
    bench.machine.advance(bench.machine.now() + Duration::from_millis(1));
    assert_eq!(bench.log(), [(4, 104), (1, 101), (2, 102)]);
    assert_eq!(bench.word(0x3FFF_DAB8), 0);
    assert_eq!(bench.machine.next_event(), None, "an idle CPU waits for an interrupt");
}

#[test]
fn an_interrupt_wakes_the_task_that_it_posts_to() {
    let mut bench = Bench::new();
    bench.call(0x4000_2E68, &[]);
    bench.call(0x4000_2C48, &[DATA, HANDLER, 7]);
    bench.call(0x4000_2C48, &[DATA + 0x40, HANDLER, 8]);
    bench.call(0x4000_2CC4, &[DATA, 20, 1]);
    bench.call(0x4000_2CC4, &[DATA + 0x40, 30, 0]);
    let start = bench.machine.now();
    bench.begin(RUN, &[]);
    // Timers count at 52 MHz / 256, while they are set for 80 MHz / 256: 20 ms take 30.8 ms.
    bench.machine.advance(start + Duration::from_millis(100));
    let log: Vec<u32> = bench.log().into_iter().map(|(argument, _)| argument).collect();
    assert_eq!(log, [7, 8, 7, 7]);
    assert_eq!(bench.word(DATA + 0x40), u32::MAX, "the one that does not repeat is not armed any more");
    assert_ne!(bench.word(FRC2 + 0x10), 0);
}

#[test]
fn a_timer_that_was_disarmed_does_not_come() {
    let mut bench = Bench::new();
    bench.call(0x4000_2E68, &[]);
    for (timer, argument) in [(DATA, 7), (DATA + 0x40, 8), (DATA + 0x80, 9)] {
        bench.call(0x4000_2C48, &[timer, HANDLER, argument]);
        bench.call(0x4000_2CC4, &[timer, argument, 0]);
    }
    bench.call(0x4000_2D40, &[DATA + 0x40]);
    bench.begin(RUN, &[]);
    bench.machine.advance(bench.machine.now() + Duration::from_millis(100));
    let log: Vec<u32> = bench.log().into_iter().map(|(argument, _)| argument).collect();
    assert_eq!(log, [7, 9]);
    bench.begin(0x4000_2CC4, &[DATA, 7, 0]);
    bench.step();
    bench.begin(0x4000_2CC4, &[DATA, 7, 0]);
    assert!(matches!(bench.step(), Step::Stuck(_)), "the ROM spins on a timer that is armed");
}

#[test]
fn the_watchdog_is_set_fed_and_taken_away() {
    let mut bench = Bench::new();
    bench.call(0x4000_3170, &[]);
    bench.call(0x4000_2FA0, &[2, 3, 6]);
    assert_eq!(bench.call(0x4000_2F34, &[]), 2);
    assert_eq!((bench.word(0x6000_0900), bench.word(0x6000_0904)), (0x39, 11));
    assert_eq!(bench.word(0x3FFF_C200), 0x100);
    assert_eq!(bench.call(0x4000_30F0, &[]), 2);
    assert_eq!((bench.word(0x6000_0900) & 1, bench.word(0x3FFF_C200)), (0, 0));
    bench.call(0x4000_3158, &[3]);
    assert_eq!(
        (bench.word(0x6000_0900), bench.word(0x6000_0904)),
        (0x3D, 12),
        "with the intervals from before"
    );
}

#[test]
fn pins_are_driven_and_configured() {
    let mut bench = Bench::new();
    bench.call(0x4000_4CD0, &[4, 0, 4, 0]);
    assert_eq!((bench.word(0x6000_0300), bench.word(0x6000_030C)), (4, 4));
    assert_eq!(bench.call(0x4000_4CF0, &[]) & 4, 4);
    bench.call(0x4000_4D90, &[5, 2]);
    assert_eq!(bench.word(0x6000_0328 + 20), 2 << 7);
    bench.call(0x4000_4E90, &[5, 4]);
    assert_eq!(bench.word(0x6000_0328 + 20), 4 << 7 | 1 << 10);
    bench.call(0x4000_4ED4, &[]);
    assert_eq!(bench.word(0x6000_0328 + 20), 0);
}

#[test]
fn cycle_counter_and_comparator_are_the_cpus() {
    let mut bench = Bench::new();
    bench.call(0x4000_DD40, &[0, 12345]);
    assert_eq!(bench.call(0x4000_DD4C, &[0]), 12345);
    let first = bench.call(0x4000_DD38, &[]);
    assert!(bench.call(0x4000_DD38, &[]) > first);
    bench.machine.cpu.latch_interrupts(1 << 9);
    assert_eq!(bench.call(0x4000_DD58, &[]) & 1 << 9, 1 << 9);
    bench.call(0x4000_DD60, &[1 << 9]);
    assert_eq!(bench.call(0x4000_DD58, &[]) & 1 << 9, 0);
}
