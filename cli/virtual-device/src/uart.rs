//! The serial line: bytes that take time, and two ends that may disagree about the baud rate.
//!
//! A byte is ten bit times (8N1). An end that samples at another rate gets what a real receiver would get: the
//! waveform is rebuilt bit by bit and sampled in the middle of the bits that the receiver expects.

use std::collections::VecDeque;
use std::time::Duration;

use crate::timing::Pace;

/// The clock behind the UART after power-up: 26 MHz crystal, doubled, since the ROM sets the PLL for 40 MHz.
pub(crate) const CLOCK: u32 = 52_000_000;
/// What the boot ROM sets for "115200" at the clock it believes in; it comes out as 74880.
pub(crate) const BOOT_DIVIDER: u32 = 694;
/// What the vendor SDK sets once it has corrected the clock, as a divider of [`CLOCK`].
pub(crate) const CONSOLE_DIVIDER: u32 = CLOCK / 115_200;
/// The most bytes that a receiver makes of one: ten bits sent at 50 baud are a break without end to a fast one.
const SAMPLED_MAX: usize = 128;
/// Edges that automatic baud rate detection wants to see.
const AUTOBAUD_EDGES: u32 = 30;

/// The rate that a clock divider gives; a divider of 0 stops the UART at the slowest rate.
pub(crate) const fn baud(divider: u32) -> u32 {
    match CLOCK.checked_div(divider) {
        Some(baud) if baud > 0 => baud,
        _ => 50,
    }
}

/// One byte on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// When its stop bit is through.
    pub(crate) at: Duration,
    /// The byte as sent.
    pub(crate) byte: u8,
    /// The sender's rate.
    pub(crate) baud: u32,
}

/// One direction of the line.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pace: Pace,
    free_at: Duration,
    symbols: VecDeque<Symbol>,
    traffic: Traffic,
}

/// What has gone over one direction of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub bytes: u64,
    /// The time that they take on the wire, each at its own rate.
    pub time: Duration,
}

impl Wire {
    /// An idle line.
    pub(crate) const fn new(pace: Pace) -> Self {
        Self {
            pace,
            free_at: Duration::ZERO,
            symbols: VecDeque::new(),
            traffic: Traffic { bytes: 0, time: Duration::ZERO },
        }
    }

    /// Sends one byte as soon as those before it are through, not before `now`; gives when it is through.
    pub(crate) fn send(&mut self, byte: u8, baud: u32, now: Duration) -> Duration {
        let time = match self.pace {
            Pace::RealTime => Duration::from_nanos(10_000_000_000 / u64::from(baud.max(1))),
            Pace::Instant => Duration::ZERO,
        };
        let at = self.free_at.max(now) + time;
        self.free_at = at;
        self.traffic.bytes += 1;
        self.traffic.time += time;
        self.symbols.push_back(Symbol { at, byte, baud });
        at
    }

    /// Whether bytes take their time.
    pub(crate) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Everything sent so far.
    pub(crate) const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// When everything sent is through.
    pub(crate) const fn free_at(&self) -> Duration {
        self.free_at
    }

    /// The next byte to arrive.
    pub(crate) fn peek(&self) -> Option<Symbol> {
        self.symbols.front().copied()
    }

    /// Takes the next byte if it has arrived by `now`.
    pub(crate) fn receive(&mut self, now: Duration) -> Option<Symbol> {
        self.symbols.pop_front_if(|symbol| symbol.at <= now)
    }

    /// The sender stops at `now`: bytes that are not through are gone.
    pub(crate) fn cut(&mut self, now: Duration) {
        self.symbols.retain(|symbol| symbol.at <= now);
        self.free_at = self.free_at.min(now);
    }
}

/// What a receiver makes of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// The eight bits.
    pub(crate) byte: u8,
    /// Whether a stop bit came behind them.
    pub(crate) stop: bool,
}

/// What a receiver at `receiver` baud makes of `byte` sent at `sender` baud; equal within 3 % is the byte itself.
///
/// Each byte is looked at by itself, with an idle line behind it. A break in the stop bit gives the byte as sampled,
/// as common adapters do. No more than [`SAMPLED_MAX`] bytes come of one.
pub(crate) fn sample(byte: u8, sender: u32, receiver: u32, received: &mut Vec<Sampled>) {
    let (sender, receiver) = (u64::from(sender.max(1)), u64::from(receiver.max(1)));
    if sender.abs_diff(receiver) * 100 <= sender * 3 {
        received.push(Sampled { byte, stop: true });
        return;
    }
    let bits = u64::from(byte) << 1 | 1 << 9;
    // Time runs in units of 1 / (2 * sender * receiver) seconds, in which both bit times are whole numbers.
    let (sent_bit, expected_bit) = (2 * receiver, 2 * sender);
    let level = |time: u64| {
        let bit = time / sent_bit;
        bit > 9 || bits >> bit & 1 == 1
    };
    let mut time: u64 = 0;
    for _ in 0..SAMPLED_MAX {
        // A start bit is a falling edge; inside one byte it can only be at a bit boundary.
        let edge = (time.div_ceil(sent_bit)..10).map(|bit| bit * sent_bit).find(|&edge| !level(edge));
        let Some(start) = edge else { return };
        let sampled = (0..8).fold(0, |sampled, bit| {
            let middle = start + expected_bit + bit * expected_bit + expected_bit / 2;
            sampled | u8::from(level(middle)) << bit
        });
        let stop = level(start + expected_bit * 9 + expected_bit / 2);
        received.push(Sampled { byte: sampled, stop });
        time = start + expected_bit * 9 + expected_bit / 2;
    }
}

/// The bytes that a receiver at `receiver` baud makes of a symbol.
pub(crate) fn received(symbol: Symbol, receiver: u32) -> Vec<u8> {
    let mut sampled = Vec::new();
    sample(symbol.byte, symbol.baud, receiver, &mut sampled);
    sampled.iter().map(|sampled| sampled.byte).collect()
}

/// Automatic baud rate detection of the boot ROM: the shortest low and high pulse of what comes in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Autobaud {
    edges: u32,
    shortest_low: Option<u32>,
    shortest_high: Option<u32>,
    last: Option<Symbol>,
    /// Length of the high pulse that the last byte ended with, in clocks.
    trailing_high: u32,
}

impl Autobaud {
    /// Looks at one more byte; gives the clock divider once enough edges were seen.
    pub(crate) fn measure(&mut self, symbol: Symbol) -> Option<u32> {
        let clocks_per_bit = CLOCK / symbol.baud.max(1);
        let byte_time = Duration::from_nanos(10_000_000_000 / u64::from(symbol.baud.max(1)));
        let follows_at_once = self.last.is_some_and(|last| symbol.at <= last.at + byte_time * 3 / 2);
        if follows_at_once {
            self.note_high(self.trailing_high);
        }
        self.last = Some(symbol);
        // Start bit, eight data bits with the lowest first, stop bit.
        let bits = u32::from(symbol.byte) << 1 | 1 << 9;
        let mut run = 1;
        self.edges += 1;
        for bit in 1..10 {
            if bits >> bit & 1 == bits >> (bit - 1) & 1 {
                run += 1;
                continue;
            }
            self.edges += 1;
            if bits >> (bit - 1) & 1 == 0 {
                self.note_low(run * clocks_per_bit);
            } else {
                self.note_high(run * clocks_per_bit);
            }
            run = 1;
        }
        self.trailing_high = run * clocks_per_bit;
        match (self.shortest_low, self.shortest_high) {
            (Some(low), Some(high)) if self.edges >= AUTOBAUD_EDGES => Some((low + high) / 2),
            _ => None,
        }
    }

    /// Edges seen.
    pub(crate) const fn edges(&self) -> u32 {
        self.edges
    }

    /// The shortest low pulse, in periods of [`CLOCK`].
    pub(crate) const fn shortest_low(&self) -> Option<u32> {
        self.shortest_low
    }

    /// The shortest high pulse, in periods of [`CLOCK`].
    pub(crate) const fn shortest_high(&self) -> Option<u32> {
        self.shortest_high
    }

    fn note_low(&mut self, clocks: u32) {
        self.shortest_low = Some(self.shortest_low.map_or(clocks, |shortest| shortest.min(clocks)));
    }

    fn note_high(&mut self, clocks: u32) {
        self.shortest_high = Some(self.shortest_high.map_or(clocks, |shortest| shortest.min(clocks)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(byte: u8, sender: u32, receiver: u32) -> Vec<u8> {
        let mut received = Vec::new();
        sample(byte, sender, receiver, &mut received);
        received.iter().map(|sampled| sampled.byte).collect()
    }

    #[test]
    fn the_boot_divider_comes_out_as_74880() {
        assert!(baud(BOOT_DIVIDER).abs_diff(74_880) < 100);
        assert_eq!(baud(CONSOLE_DIVIDER), 115_299);
        assert_eq!(baud(0), 50);
    }

    #[test]
    fn bytes_queue_behind_each_other_and_take_ten_bit_times() {
        let mut wire = Wire::new(Pace::RealTime);
        assert_eq!(wire.send(1, 10_000, Duration::ZERO), Duration::from_millis(1));
        assert_eq!(wire.send(2, 10_000, Duration::ZERO), Duration::from_millis(2));
        assert_eq!(wire.receive(Duration::from_micros(999)), None);
        assert_eq!(wire.receive(Duration::from_millis(1)).map(|symbol| symbol.byte), Some(1));
        wire.cut(Duration::from_micros(1500));
        assert_eq!(wire.receive(Duration::from_secs(1)), None);
        assert_eq!(wire.send(3, 10_000, Duration::from_millis(5)), Duration::from_millis(6));
    }

    #[test]
    fn a_rate_within_three_percent_is_understood_and_others_are_not() {
        assert_eq!(sampled(0x5A, 115_299, 115_200), [0x5A]);
        assert_ne!(sampled(b'e', 74_928, 115_200), b"e");
        assert_ne!(sampled(b'e', 115_200, 74_880), b"e");
        assert_eq!(
            sampled(0x00, 115_200, 57_600),
            [0xF8],
            "start and three data bits are low, the fourth is where it rises"
        );
        assert_eq!(
            sampled(0x00, 9_600, 115_200),
            vec![0; 9],
            "one long low is a break, seen again and again"
        );
        assert!(sampled(0x00, 50, u32::MAX).len() <= SAMPLED_MAX);
    }

    #[test]
    fn autobaud_finds_the_rate_in_the_first_sync() {
        for rate in [9_600, 74_880, 115_200, 460_800] {
            let mut autobaud = Autobaud::default();
            let mut wire = Wire::new(Pace::RealTime);
            let sync =
                [&[0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20][..], &[0x55; 32], &[0xC0]].concat();
            let divider = sync.iter().find_map(|&byte| {
                wire.send(byte, rate, Duration::ZERO);
                autobaud.measure(wire.receive(Duration::from_secs(1)).unwrap())
            });
            let found = baud(divider.unwrap());
            assert!(found.abs_diff(rate) * 100 < rate * 2, "{found} for {rate}");
        }
    }
}
