//! Control packets against bytes written by hand from MQTT 3.1.1, and against themselves.

#[cfg(test)]
mod malformed;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod vectors;
