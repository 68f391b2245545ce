//! [`Inflate`]: a zlib stream (RFC 1950, RFC 1951) from pieces of any length, unpacked in steps of any length.
//!
//! A state machine that takes no byte before it needs it and keeps up to 22 bits between two pieces. Codes are decoded
//! from a table by nine bits at a time, and bit by bit where they are longer. Any bytes end in a state of this
//! machine. Preset dictionaries are refused.

use crate::window::Window;

/// Why a stream is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl core::fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("not a zlib stream")
    }
}

impl core::error::Error for Invalid {}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to unpack, but no room or not in this step.
    Output,
    /// The next piece is needed.
    Input,
    /// The stream is at its end, and its checksum was right.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ZlibHeader,
    BlockHeader,
    StoredLength,
    StoredComplement,
    Stored,
    CodeCounts,
    CodeLengthLengths,
    CodeLengths,
    Repeat,
    Symbol,
    LengthExtra,
    Distance,
    DistanceExtra,
    Copy,
    Checksum,
    End,
}

/// Symbols for literals and lengths: 286, and two that the fixed code has and nobody may use.
const LITERALS: u32 = 288;
/// Symbols for distances, likewise.
const DISTANCES: u32 = 32;
/// Symbols for code lengths.
const LENGTHS: usize = 19;
/// The order in which lengths of code length codes are sent, RFC 1951 §3.2.7.
const ORDER: [u8; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The longest code.
const CODE_MAX: u32 = 15;
/// Bits that are looked up at once.
const QUICK: u32 = 9;

/// A canonical Huffman code: how many codes of each length, and the symbols in the order of their codes.
///
/// The one of the distances has more room than it needs: one type means one copy of the machine code.
#[derive(Debug)]
#[repr(C)]
struct Code {
    counts: [u16; CODE_MAX as usize + 1],
    symbols: [u16; LITERALS as usize],
    /// By the next [`QUICK`] bits: symbol and length of a code (`symbol << 4 | length`), 0 where it is longer.
    quick: [u16; 1 << QUICK],
}

impl Code {
    const fn new() -> Self {
        Self { counts: [0; CODE_MAX as usize + 1], symbols: [0; LITERALS as usize], quick: [0; 1 << QUICK] }
    }

    /// Builds the code from the length of each symbol's code. A code may be incomplete only if it has no code longer
    /// than one bit, as zlib takes it.
    fn build(&mut self, lengths: &[u8]) -> Result<(), Invalid> {
        self.counts = [0; CODE_MAX as usize + 1];
        for &length in lengths {
            *entry(&mut self.counts, usize::from(length)) += 1;
        }
        *entry(&mut self.counts, 0) = 0;
        let mut left = 1_u32;
        let mut longest = 0;
        let mut offsets = [0_u16; CODE_MAX as usize + 2];
        let mut codes = [0_u16; CODE_MAX as usize + 2];
        for length in 1..=CODE_MAX as usize {
            let count = *entry(&mut self.counts, length);
            left = (left << 1).checked_sub(u32::from(count)).ok_or(Invalid)?;
            let offset = *entry(&mut offsets, length);
            *entry(&mut offsets, length + 1) = offset + count;
            let code = *entry(&mut codes, length);
            *entry(&mut codes, length + 1) = code.wrapping_add(count) << 1;
            if count > 0 {
                longest = length;
            }
        }
        if left > 0 && longest > 1 {
            return Err(Invalid);
        }
        self.quick = [0; 1 << QUICK];
        for (symbol, &code_length) in (0_u16..).zip(lengths) {
            let length = usize::from(code_length);
            let code_length = u16::from(code_length);
            if length == 0 {
                continue;
            }
            let offset = entry(&mut offsets, length);
            let place = usize::from(*offset);
            *offset += 1;
            *entry(&mut self.symbols, place) = symbol;
            let code = entry(&mut codes, length);
            let bits = u32::from(*code);
            *code = code.wrapping_add(1);
            if length <= QUICK as usize {
                // Codes are sent from their first bit on, everything else from the lowest: turned round.
                let mut turned = 0;
                for bit in 0..length {
                    turned |= (bits as usize >> bit & 1) << (length - 1 - bit);
                }
                let value = symbol << 4 | code_length;
                while turned < 1 << QUICK {
                    *entry(&mut self.quick, turned) = value;
                    turned += 1 << length;
                }
            }
        }
        Ok(())
    }
}

/// An element of an array by an index that is always inside; another one changes nothing that counts.
fn entry<T, const N: usize>(array: &mut [T; N], index: usize) -> &mut T {
    let index = if index < N { index } else { 0 };
    #[expect(clippy::indexing_slicing, reason = "the line above")]
    &mut array[index]
}

/// Bits from the line that are not used up.
#[derive(Debug)]
struct Bits {
    bits: u32,
    count: u32,
}

impl Bits {
    /// Whether so many bits are there, up to 16, after taking what is missing.
    #[inline]
    fn need(&mut self, count: u32, input: &mut impl Iterator<Item = u8>) -> Option<()> {
        while self.count < count {
            self.bits |= u32::from(input.next()?) << self.count;
            self.count += 8;
        }
        Some(())
    }

    fn take(&mut self, count: u32) -> u32 {
        let value = self.bits & ((1 << count) - 1);
        self.bits >>= count;
        self.count -= count;
        value
    }

    /// So many bits, or none of them if the input ends before.
    fn field(&mut self, count: u32, input: &mut impl Iterator<Item = u8>) -> Option<u32> {
        self.need(count, input)?;
        Some(self.take(count))
    }

    /// The next symbol, or none of its bits if the input ends before.
    #[inline(never)]
    fn symbol(
        &mut self,
        codes: &mut Code,
        input: &mut impl Iterator<Item = u8>,
    ) -> Option<Result<u32, Invalid>> {
        // The input may end with the code: what is missing for a look is no error yet.
        let _ = self.need(QUICK, input);
        let found = u32::from(*entry(&mut codes.quick, (self.bits & ((1 << QUICK) - 1)) as usize));
        let length = found & 15;
        if length > 0 && length <= self.count {
            self.take(length);
            return Some(Ok(found >> 4));
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..=CODE_MAX {
            self.need(length, input)?;
            code |= self.bits >> (length - 1) & 1;
            let count = u32::from(*entry(&mut codes.counts, length as usize));
            if code < first + count {
                self.take(length);
                return Some(Ok(u32::from(*entry(&mut codes.symbols, (index + code - first) as usize))));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Some(Err(Invalid))
    }
}

/// A stream, and how far it was unpacked.
#[derive(Debug)]
#[repr(C)]
pub struct Inflate {
    state: State,
    bits: Bits,
    last: bool,
    /// Lengths that are known.
    known: u32,
    /// Code length codes, literals, distances in the header of a block.
    code_lengths: u32,
    literals: u32,
    distances: u32,
    /// The symbol whose extra bits come next.
    symbol: u32,
    /// Bytes of a match or a stored block that are still to come.
    length: u32,
    distance: u32,
    low: u32,
    high: u32,
    /// Lengths as they are sent: those of the literals' code, then those of the distances'.
    lengths: [u8; (LITERALS + DISTANCES) as usize],
    code: Code,
    distance_code: Code,
}

impl Default for Inflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflate {
    /// A machine before its first stream, all zero.
    pub const fn new() -> Self {
        Self {
            state: State::ZlibHeader,
            bits: Bits { bits: 0, count: 0 },
            last: false,
            lengths: [0; (LITERALS + DISTANCES) as usize],
            known: 0,
            code_lengths: 0,
            literals: 0,
            distances: 0,
            symbol: 0,
            length: 0,
            distance: 0,
            low: 0,
            high: 0,
            code: Code::new(),
            distance_code: Code::new(),
        }
    }

    /// Goes to the beginning of another stream.
    pub const fn restart(&mut self) {
        self.state = State::ZlibHeader;
        self.bits = Bits { bits: 0, count: 0 };
        self.low = 1;
        self.high = 0;
    }

    /// Whether the stream is at its end.
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Unpacks until `limit` bytes went into the window, it is full, or the input is used up.
    ///
    /// # Errors
    /// [`Invalid`]: every step after it is, too, until [`restart`](Self::restart).
    pub fn step(
        &mut self,
        window: &mut Window,
        input: &mut impl Iterator<Item = u8>,
        limit: u32,
    ) -> Result<Progress, Invalid> {
        let mut room = limit.min(window.room());
        loop {
            match self.advance(window, input, &mut room) {
                None => return Ok(Progress::Input),
                Some(Ok(Progress::Input)) => {}
                Some(result) => return result,
            }
        }
    }

    /// One state: nothing if the input ended in it, `Progress::Input` to go on.
    #[inline(never)]
    fn advance(
        &mut self,
        window: &mut Window,
        input: &mut impl Iterator<Item = u8>,
        room: &mut u32,
    ) -> Option<Result<Progress, Invalid>> {
        let bits = &mut self.bits;
        match self.state {
            State::ZlibHeader => {
                let header = bits.field(16, input)?;
                // RFC 1950 §2.2: deflate, window of at most 32 KiB, no preset dictionary, check bits.
                let checked = (header & 0xFF) << 8 | header >> 8;
                if header & 0x0F != 8 || header & 0x80 != 0 || header & 0x2000 != 0 || checked % 31 != 0 {
                    return Some(Err(Invalid));
                }
                self.state = State::BlockHeader;
            }
            State::BlockHeader => {
                let header = bits.field(3, input)?;
                self.last = header & 1 != 0;
                self.state = match header >> 1 {
                    0 => {
                        let odd = bits.count & 7;
                        bits.take(odd);
                        State::StoredLength
                    }
                    1 => {
                        self.fix_codes();
                        State::Symbol
                    }
                    2 => State::CodeCounts,
                    _ => return Some(Err(Invalid)),
                };
            }
            State::StoredLength => {
                self.length = bits.field(16, input)?;
                self.state = State::StoredComplement;
            }
            State::StoredComplement => {
                if bits.field(16, input)? ^ 0xFFFF != self.length {
                    return Some(Err(Invalid));
                }
                self.state = State::Stored;
            }
            State::Stored => {
                if self.length == 0 {
                    self.end_block();
                } else if *room == 0 {
                    return Some(Ok(Progress::Output));
                } else {
                    let byte = bits.field(8, input)?;
                    self.length -= 1;
                    *room -= 1;
                    self.push(window, byte);
                }
            }
            State::CodeCounts => {
                let counts = bits.field(14, input)?;
                self.literals = (counts & 31) + 257;
                self.distances = (counts >> 5 & 31) + 1;
                self.code_lengths = (counts >> 10) + 4;
                if self.literals > 286 || self.distances > 30 {
                    return Some(Err(Invalid));
                }
                self.lengths = [0; (LITERALS + DISTANCES) as usize];
                self.known = 0;
                self.state = State::CodeLengthLengths;
            }
            State::CodeLengthLengths => {
                if self.known < self.code_lengths {
                    let length = bits.field(3, input)?;
                    let place = ORDER.get(self.known as usize).copied().unwrap_or(0);
                    *entry(&mut self.lengths, usize::from(place)) = low_byte(length);
                    self.known += 1;
                } else {
                    let lengths = self.lengths.get(..LENGTHS).unwrap_or_default();
                    if let Err(error) = self.distance_code.build(lengths) {
                        return Some(Err(error));
                    }
                    self.known = 0;
                    self.state = State::CodeLengths;
                }
            }
            State::CodeLengths => {
                let all = self.literals + self.distances;
                if self.known < all {
                    let symbol = match bits.symbol(&mut self.distance_code, input)? {
                        Ok(symbol) => symbol,
                        Err(error) => return Some(Err(error)),
                    };
                    if symbol < 16 {
                        *entry(&mut self.lengths, self.known as usize) = low_byte(symbol);
                        self.known += 1;
                    } else {
                        self.symbol = symbol;
                        self.state = State::Repeat;
                    }
                } else {
                    if let Err(error) = self.build_codes() {
                        return Some(Err(error));
                    }
                    self.state = State::Symbol;
                }
            }
            State::Repeat => {
                let (extra, base) = match self.symbol {
                    16 => (2, 3),
                    17 => (3, 3),
                    _ => (7, 11),
                };
                let count = bits.field(extra, input)? + base;
                let mut value = 0;
                if self.symbol == 16 {
                    if self.known == 0 {
                        return Some(Err(Invalid));
                    }
                    value = *entry(&mut self.lengths, (self.known - 1) as usize);
                }
                if self.known + count > self.literals + self.distances {
                    return Some(Err(Invalid));
                }
                for _ in 0..count {
                    *entry(&mut self.lengths, self.known as usize) = value;
                    self.known += 1;
                }
                self.state = State::CodeLengths;
            }
            State::Symbol => {
                if *room == 0 {
                    return Some(Ok(Progress::Output));
                }
                let symbol = match bits.symbol(&mut self.code, input)? {
                    Ok(symbol) => symbol,
                    Err(error) => return Some(Err(error)),
                };
                if symbol < 256 {
                    *room -= 1;
                    self.push(window, symbol);
                } else if symbol == 256 {
                    self.end_block();
                } else {
                    self.symbol = symbol - 257;
                    self.state = State::LengthExtra;
                }
            }
            State::LengthExtra => {
                // RFC 1951 §3.2.5: four codes for each number of extra bits, from the fifth on; the last is 258.
                self.length = match self.symbol {
                    symbol @ 0..8 => 3 + symbol,
                    symbol @ 8..28 => {
                        let extra = (symbol >> 2) - 1;
                        3 + ((4 + (symbol & 3)) << extra) + bits.field(extra, input)?
                    }
                    28 => 258,
                    _ => return Some(Err(Invalid)),
                };
                self.state = State::Distance;
            }
            State::Distance => {
                self.symbol = match bits.symbol(&mut self.distance_code, input)? {
                    Ok(symbol) => symbol,
                    Err(error) => return Some(Err(error)),
                };
                self.state = State::DistanceExtra;
            }
            State::DistanceExtra => {
                // Likewise, two codes for each number, from the third on.
                self.distance = match self.symbol {
                    symbol @ 0..4 => 1 + symbol,
                    symbol @ 4..30 => {
                        let extra = (symbol >> 1) - 1;
                        1 + ((2 + (symbol & 1)) << extra) + bits.field(extra, input)?
                    }
                    _ => return Some(Err(Invalid)),
                };
                if self.distance > window.filled() {
                    return Some(Err(Invalid));
                }
                self.state = State::Copy;
            }
            State::Copy => {
                let count = self.length.min(*room);
                if count == 0 && self.length > 0 {
                    return Some(Ok(Progress::Output));
                }
                for _ in 0..count {
                    let byte = u32::from(window.back(self.distance));
                    self.push(window, byte);
                }
                *room -= count;
                self.length -= count;
                if self.length == 0 {
                    self.state = State::Symbol;
                }
            }
            State::Checksum => {
                // RFC 1950 §2.2: highest byte first. Two halves, as the bit buffer holds no more.
                let half = bits.field(16, input)?;
                let half = (half & 0xFF) << 8 | half >> 8;
                if half != self.high {
                    return Some(Err(Invalid));
                }
                // The second half is compared as the first one was.
                self.high = self.low;
                self.known += 1;
                if self.known == 2 {
                    self.state = State::End;
                }
            }
            State::End => return Some(Ok(Progress::End)),
        }
        Some(Ok(Progress::Input))
    }

    /// Adds a byte to the window and to the Adler-32 (RFC 1950 §8.2), without a division.
    #[inline]
    fn push(&mut self, window: &mut Window, byte: u32) {
        const MODULUS: u32 = 65_521;
        window.push(low_byte(byte));
        let low = self.low + byte;
        self.low = if low >= MODULUS { low - MODULUS } else { low };
        let high = self.high + self.low;
        self.high = if high >= MODULUS { high - MODULUS } else { high };
    }

    fn end_block(&mut self) {
        self.state = if self.last {
            let odd = self.bits.count & 7;
            self.bits.take(odd);
            self.known = 0;
            State::Checksum
        } else {
            State::BlockHeader
        };
    }

    /// The codes of RFC 1951 §3.2.6.
    fn fix_codes(&mut self) {
        for (symbol, length) in self.lengths.iter_mut().enumerate() {
            *length = match symbol {
                0..144 | 280..288 => 8,
                144..256 => 9,
                256..280 => 7,
                _ => 5,
            };
        }
        self.literals = LITERALS;
        self.distances = DISTANCES;
        // Complete by definition.
        let _ = self.build_codes();
    }

    fn build_codes(&mut self) -> Result<(), Invalid> {
        let (literals, distances) = self.lengths.split_at(self.literals as usize);
        self.code.build(literals)?;
        self.distance_code.build(distances.get(..self.distances as usize).unwrap_or_default())
    }
}

const fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}
