//! A line for each group: name, number of values, digest.

use core::fmt;

use crate::random::Random;

/// FNV-1a, 64 bits.
#[derive(Debug)]
pub(crate) struct Digest {
    state: u64,
    values: u32,
}

const BASIS: u64 = 0xCBF2_9CE4_8422_2325;

fn fnv(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Digest {
    /// Counts a value and digests it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a reference before each of the values would hide them"
    )]
    pub(crate) fn take(&mut self, value: impl Value) {
        self.values += 1;
        value.digest(self);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.state = fnv(self.state, bytes);
    }
}

/// What can be digested.
pub(crate) trait Value {
    fn digest(&self, digest: &mut Digest);
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn digest(&self, digest: &mut Digest) {
                digest.bytes(&self.to_le_bytes());
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! floats {
    ($($float:ty)*) => {$(
        impl Value for $float {
            fn digest(&self, digest: &mut Digest) {
                // Sign and payload of a result that is not a number are up to the machine (IEEE 754 §6.2).
                let bits = if self.is_nan() { <$float>::NAN.to_bits() } else { self.to_bits() };
                digest.bytes(&bits.to_le_bytes());
            }
        }
    )*};
}

floats!(f32 f64);

impl Value for bool {
    fn digest(&self, digest: &mut Digest) {
        digest.bytes(&[u8::from(*self)]);
    }
}

impl Value for &str {
    fn digest(&self, digest: &mut Digest) {
        digest.bytes(self.as_bytes());
        digest.bytes(&[0xFF]);
    }
}

impl Value for usize {
    fn digest(&self, digest: &mut Digest) {
        // As wide as the host's on every machine.
        digest.bytes(&(*self as u64).to_le_bytes());
    }
}

impl<T: Value> Value for Option<T> {
    fn digest(&self, digest: &mut Digest) {
        digest.bytes(&[u8::from(self.is_some())]);
        if let Some(value) = self {
            value.digest(digest);
        }
    }
}

impl<A: Value, B: Value> Value for (A, B) {
    fn digest(&self, digest: &mut Digest) {
        self.0.digest(digest);
        self.1.digest(digest);
    }
}

/// Writes the lines and counts them.
pub struct Report<'a> {
    output: &'a mut dyn fmt::Write,
    lines: u32,
    values: u32,
}

impl<'a> Report<'a> {
    /// Writes to `output`.
    pub fn new(output: &'a mut dyn fmt::Write) -> Self {
        Self { output, lines: 0, values: 0 }
    }

    /// Computes one group, with numbers that depend on its name alone, and writes its line.
    ///
    /// # Errors
    ///
    /// When the output does not take it.
    pub(crate) fn line(
        &mut self,
        name: &str,
        group: &mut dyn FnMut(&mut Random, &mut Digest),
    ) -> fmt::Result {
        let mut random = Random::new(fnv(BASIS, name.as_bytes()));
        let mut digest = Digest { state: BASIS, values: 0 };
        group(&mut random, &mut digest);
        self.lines += 1;
        self.values += digest.values;
        writeln!(self.output, "{name}: {} values, {:016x}", digest.values, digest.state)
    }

    pub(crate) fn close(self) -> fmt::Result {
        writeln!(self.output, "all: {} values in {} lines", self.values, self.lines)
    }
}
