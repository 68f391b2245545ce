//! Part of espbroker.

fn main() {}
