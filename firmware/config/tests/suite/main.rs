//! Tests of the formats as another program sees them: through the public interface and through bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails, also in what tests share"
)]

mod boot_image;
mod cbor;
mod codec;
mod golden;
mod image;
mod nor;
mod password;
mod samples;
mod slots;
mod trial;
mod validate;
