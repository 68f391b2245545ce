//! Descriptor and digest: found wherever they are, and no accident passes.

use espbroker_config::{
    flash_map::{BOOT, CONFIG_A, FlashMap, OTA_1, Region},
    image::{
        self, BootHeader, DESCRIPTOR_LENGTH, Descriptor, DigestStream, Fields, ImageError, Located, MAGIC,
        SealError, Target, boot::Segment, boot_image, check, check_boot_image, digest, find, locate, seal,
    },
};
use proptest::{collection::vec, prelude::*};
use sha2::{Digest, Sha256};

use crate::nor::Nor;

const FIELDS: Fields<'static> =
    Fields { target: Target::Virtual, flash_map: FlashMap::Map4M, name: "espbroker", version: "0.1.0-rc.1" };

/// Bytes that look like nothing in particular.
fn noise(length: usize) -> Vec<u8> {
    (0..length)
        .scan(1_u32, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        })
        .collect()
}

fn sealed(length: usize, offset: usize) -> Vec<u8> {
    let mut image = noise(length);
    seal(&mut image, offset, &FIELDS).unwrap();
    image
}

#[test]
fn a_sealed_image_is_found_and_checked_wherever_the_descriptor_is() {
    // Around the steps in which images are searched, and at both ends.
    for offset in [0, 4, 124, 128, 132, 252, 256, 260, 508, 880, 1024 - 128] {
        let image = sealed(1024, offset);
        let expected = Descriptor {
            target: Target::Virtual,
            flash_map: FlashMap::Map4M,
            length: 1024,
            name: "espbroker".into(),
            version: "0.1.0-rc.1".into(),
            digest: digest(&image, offset),
        };
        assert_eq!(find(&image), Ok(expected.clone()), "{offset}");
        assert_eq!(locate(&image), Ok(Located { offset, descriptor: expected.clone() }), "{offset}");
        assert_eq!(check(&image), Ok(expected), "{offset}");
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let image = sealed(512, 64);
    let descriptor = &image[64..64 + DESCRIPTOR_LENGTH];
    assert_eq!(&descriptor[..8], b"EBimage\x01");
    assert_eq!(descriptor[8..16], [2, 1, 0, 0, 0, 2, 0, 0]);
    assert_eq!(&descriptor[16..26], b"espbroker\0");
    assert_eq!(&descriptor[48..59], b"0.1.0-rc.1\0");
    assert_eq!(descriptor[112..124], [0; 12]);

    let mut zeroed = image.clone();
    zeroed[64 + 80..64 + 112].fill(0);
    zeroed[64 + 124..64 + 128].fill(0);
    assert_eq!(descriptor[80..112], *Sha256::digest(&zeroed));
    assert_eq!(descriptor[124..], crc32fast::hash(&descriptor[..124]).to_le_bytes());
}

#[test]
fn every_flipped_bit_of_an_image_is_detected() {
    let mut image = sealed(400, 132);
    for bit in 0..image.len() * 8 {
        image[bit / 8] ^= 1 << (bit % 8);
        let in_descriptor = (132..132 + DESCRIPTOR_LENGTH).contains(&(bit / 8));
        let expected = if in_descriptor { ImageError::NoDescriptor } else { ImageError::Digest };
        assert_eq!(check(&image), Err(expected), "bit {bit}");
        image[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_short_or_padded_image_is_told_from_a_changed_one() {
    let image = sealed(1024, 0);
    assert_eq!(check(&image[..1023]), Err(ImageError::Length { stated: 1024, found: 1023 }));
    assert_eq!(find(&image[..128]).map(|found| found.length), Ok(1024), "what is short can still be named");
    let padded = [&image[..], &[0xFF; 16]].concat();
    let error = check(&padded).unwrap_err();
    assert_eq!(error.to_string(), "image is not 1024 bytes long: 1040");
    assert_eq!(check(&image[..127]), Err(ImageError::NoDescriptor));
    assert_eq!(check(&[]), Err(ImageError::NoDescriptor));
    assert_eq!(check(&[0xFF; 4096]), Err(ImageError::NoDescriptor));
}

#[test]
fn a_stray_magic_is_passed_over() {
    let mut image = noise(2048);
    for offset in [0, 8, 260, 2044] {
        let end = image.len().min(offset + MAGIC.len());
        image[offset..end].copy_from_slice(&MAGIC[..end - offset]);
    }
    assert_eq!(find(&image), Err(ImageError::NoDescriptor));
    seal(&mut image, 1024, &FIELDS).unwrap();
    assert_eq!(locate(&image).map(|found| found.offset), Ok(1024));
}

#[test]
fn a_descriptor_for_what_this_version_does_not_know_is_refused_by_name() {
    let with = |place: usize, byte: u8| {
        let mut image = sealed(256, 0);
        image[place] = byte;
        let crc = crc32fast::hash(&image[..124]);
        image[124..128].copy_from_slice(&crc.to_le_bytes());
        find(&image).unwrap_err()
    };
    assert_eq!(with(8, 0), ImageError::Target { number: 0 });
    assert_eq!(with(8, 4), ImageError::Target { number: 4 });
    assert_eq!(with(9, 3), ImageError::FlashMap { number: 3 });
    assert_eq!(with(16, 0xFF), ImageError::Text);
    assert_eq!(with(8, 4).to_string(), "image is for an unknown machine: 4");
}

#[test]
fn what_cannot_be_sealed_is_refused_and_left_alone() {
    let refused = |image: &[u8], offset, fields: &Fields<'_>| {
        let mut sealed = image.to_vec();
        let error = seal(&mut sealed, offset, fields).unwrap_err();
        assert_eq!(sealed, image, "{error}");
        error
    };
    let image = noise(256);
    assert_eq!(refused(&image, 2, &FIELDS), SealError::Alignment { offset: 2 });
    assert_eq!(refused(&image, 132, &FIELDS), SealError::Cut { length: 256 });
    assert_eq!(refused(&image, 4096, &FIELDS), SealError::Cut { length: 256 });
    let long = "x".repeat(33);
    assert_eq!(refused(&image, 0, &Fields { name: &long, ..FIELDS }), SealError::Text { length: 33 });
    assert_eq!(refused(&image, 0, &Fields { version: "", ..FIELDS }), SealError::Text { length: 0 });
    assert_eq!(refused(&image, 0, &Fields { name: "a\0b", ..FIELDS }), SealError::Text { length: 3 });

    let full = "y".repeat(32);
    let mut sealed = image.clone();
    seal(&mut sealed, 0, &Fields { name: &full, ..FIELDS }).unwrap();
    assert_eq!(find(&sealed).unwrap().name, full);
}

#[test]
fn a_boot_image_keeps_its_checksum_because_the_descriptor_goes_behind_it() {
    let segments = [Segment { address: 0x4010_0000, data: &noise(500) }];
    let mut image = boot_image(&BootHeader::dout_4m(0x4010_0000), &segments).unwrap();
    let end = image.len();
    image.resize(end + DESCRIPTOR_LENGTH, 0);
    let error = seal(&mut image, end - 16, &FIELDS).unwrap_err();
    assert_eq!(error, SealError::InsideBootImage { end });

    seal(&mut image, end, &FIELDS).unwrap();
    assert_eq!(check_boot_image(&image).map(|boot| boot.length), Ok(end));
    assert_eq!(check(&image).map(|descriptor| descriptor.target), Ok(Target::Virtual));
}

#[test]
fn an_image_is_found_in_flash_as_in_memory() {
    // The fake flash has only the config partition; any region will do.
    let region = Region { length: 2 * CONFIG_A.length, ..CONFIG_A };
    for offset in [0, 252, 4000, 4096, 8192 - 128] {
        let mut flash = Nor::blank();
        flash.bytes = sealed(8192, offset);
        let expected = locate(&flash.bytes);
        assert_eq!(expected.as_ref().map(|found| found.offset), Ok(offset));
        assert_eq!(image::read_from(&mut flash, &region), Ok(expected));
    }
    assert_eq!(image::read_from(&mut Nor::blank(), &region), Ok(Err(ImageError::NoDescriptor)));
    assert!(image::read_from(&mut Nor::blank(), &BOOT).is_err(), "the flash's own error comes through");
    assert!(image::read_from(&mut Nor::blank(), &OTA_1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_is_the_same_in_pieces_of_any_length(
        cuts in vec(0_usize..700, 0..12),
        offset in (0_usize..150).prop_map(|word| word * 4),
    ) {
        let image = noise(700);
        let mut cuts = cuts;
        cuts.extend([0, image.len()]);
        cuts.sort_unstable();
        let mut stream = DigestStream::new(offset);
        for piece in cuts.windows(2) {
            stream.update(&image[piece[0]..piece[1]]);
        }
        prop_assert_eq!(stream.finish(), digest(&image, offset));
    }

    #[test]
    fn any_bytes_are_searched_without_harm(bytes in vec(any::<u8>(), 0..600)) {
        let _ = check(&bytes);
    }
}
