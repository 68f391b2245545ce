//! The boot image against a second description of the ROM, written from its steps and not from the format.

use espbroker_config::image::{
    BootHeader, BootImageError,
    boot::{BuildError, Loads, Segment},
    boot_image, check_boot_image,
};
use proptest::{collection::vec, prelude::*};

/// The ROM's loader: 16-byte chunks, the lines of its log, and whether it would run the image.
fn rom(flash: &[u8]) -> (Vec<String>, Result<(), &'static str>) {
    let mut log = Vec::new();
    let outcome = rom_load(flash, &mut log);
    (log, outcome)
}

fn rom_load(flash: &[u8], log: &mut Vec<String>) -> Result<(), &'static str> {
    let chunk_at = |address: usize| -> Result<[u8; 16], &'static str> {
        flash.get(address..address + 16).and_then(|chunk| chunk.try_into().ok()).ok_or("read")
    };
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());

    let first = chunk_at(0)?;
    if first[0] != 0xE9 {
        return Err("magic");
    }
    let mut segments = first[1];
    let (mut address, mut length) = (word(&first, 8), word(&first, 12) as usize);
    let mut position = 16;
    let mut chunk = chunk_at(position)?;
    let mut used = 0;
    let mut sum = 0xEF;
    loop {
        let room = 16 - used;
        log.push(format!("load 0x{address:08x}, len {length}, room {room} "));
        let tail;
        if length >= room {
            sum = chunk[used..].iter().fold(sum, |sum, byte| sum ^ byte);
            for _ in 0..(length - room) / 16 {
                position += 16;
                sum = chunk_at(position)?.iter().fold(sum, |sum, byte| sum ^ byte);
            }
            tail = (length + used - 16) & 15;
            position += 16;
            chunk = chunk_at(position)?;
            used = 0;
        } else {
            tail = length;
        }
        log.push(format!("tail {tail}"));
        sum = chunk[used..used + tail].iter().fold(sum, |sum, byte| sum ^ byte);
        log.push(format!("chksum 0x{sum:02x}"));
        let before = used;
        used += tail;
        segments -= 1;
        if segments == 0 {
            log.push(format!("csum 0x{sum:02x}"));
            return if sum == chunk[15] { Ok(()) } else { Err("csum err") };
        }
        let mut header = chunk[used..].to_vec();
        if header.len() >= 8 {
            used += 8;
        } else {
            let left = header.len();
            log.push(format!("ho {before} tail {tail} room {left}"));
            position += 16;
            chunk = chunk_at(position)?;
            used = 8 - left;
            header.extend_from_slice(&chunk[..used]);
        }
        (address, length) = (word(&header, 0), word(&header, 4) as usize);
    }
}

/// The same log from the numbers of [`Loads`].
fn log_of(image: &[u8]) -> Vec<String> {
    let loads = Loads::new(image).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let mut log = Vec::new();
    for (index, load) in loads.iter().enumerate() {
        log.push(format!("load 0x{:08x}, len {}, room {} ", load.address, load.length, load.room));
        log.push(format!("tail {}", load.tail));
        log.push(format!("chksum 0x{:02x}", load.checksum));
        if index + 1 == loads.len() {
            log.push(format!("csum 0x{:02x}", load.checksum));
        } else if load.left() < 8 {
            log.push(format!("ho {} tail {} room {}", load.used, load.tail, load.left()));
        }
    }
    log
}

/// An image by the format alone, also with lengths that our own builder would pad.
fn packed(segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0xE9, segments.len() as u8, 2, 0x40, 0x00, 0x00, 0x10, 0x40];
    for (address, data) in segments {
        image.extend(address.to_le_bytes());
        image.extend((data.len() as u32).to_le_bytes());
        image.extend(data);
    }
    while image.len() % 16 != 15 {
        image.push(0);
    }
    image.push(segments.iter().flat_map(|(_, data)| data).fold(0xEF, |sum, byte| sum ^ byte));
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn checking_agrees_with_the_rom_line_for_line(
        segments in vec((any::<u32>(), vec(any::<u8>(), 0..70)), 1..6),
    ) {
        let image = packed(&segments);
        let (log, outcome) = rom(&image);
        prop_assert_eq!(outcome, Ok(()));
        let checked = check_boot_image(&image).unwrap();
        prop_assert_eq!(checked.length, image.len());
        prop_assert_eq!(log_of(&image), log);
        for (load, (address, data)) in checked.segments.iter().zip(&segments) {
            prop_assert_eq!(load.address, *address);
            prop_assert_eq!(&image[load.offset..load.offset + load.length as usize], &data[..]);
        }
    }

    #[test]
    fn checking_agrees_with_the_rom_on_damage(
        segments in vec((any::<u32>(), vec(any::<u8>(), 0..40)), 1..4),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut image = packed(&segments);
        let place = place.index(image.len());
        image[place] = byte;
        prop_assume!(image[1] != 0);
        let expected = rom(&image).1;
        match check_boot_image(&image) {
            Ok(_) => prop_assert_eq!(expected, Ok(())),
            Err(BootImageError::Magic { .. }) => prop_assert_eq!(expected, Err("magic")),
            Err(BootImageError::Cut) => prop_assert_eq!(expected, Err("read")),
            Err(BootImageError::Checksum { .. }) => prop_assert_eq!(expected, Err("csum err")),
            Err(BootImageError::NoSegments) => prop_assert!(false, "there are some"),
        }
    }

    #[test]
    fn what_is_built_is_accepted_by_the_rom(
        segments in vec((any::<u32>().prop_map(|word| word & !3), vec(any::<u8>(), 0..70)), 1..6),
        entry in any::<u32>(),
    ) {
        let header = BootHeader { entry, mode: 2, size_nibble: 4, frequency_nibble: 15 };
        let parts: Vec<_> = segments.iter().map(|(address, data)| Segment { address: *address, data }).collect();
        let image = boot_image(&header, &parts).unwrap();
        prop_assert_eq!(rom(&image).1, Ok(()));
        prop_assert_eq!(image.len() % 16, 0);
        let checked = check_boot_image(&image).unwrap();
        prop_assert_eq!(checked.header, header);
        for (load, (address, data)) in checked.segments.iter().zip(&segments) {
            let loaded = &image[load.offset..load.offset + load.length as usize];
            prop_assert_eq!(load.address, *address);
            prop_assert!(loaded.starts_with(data) && loaded.len() == data.len().next_multiple_of(4));
        }
    }

    #[test]
    fn any_bytes_are_checked_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = check_boot_image(&bytes);
        let _ = check_boot_image(&[&[0xE9][..], &bytes].concat());
    }
}

#[test]
fn the_segments_of_boot_logs_that_users_posted_lie_as_the_rom_said() {
    // Lengths, and the numbers of the `load`, `tail` and `ho` lines that belong to them.
    let logs: [(&[usize], &[&str]); 2] = [
        (
            &[25_700, 848, 184],
            &["room 16 ", "tail 4", "room 4 ", "tail 12", "ho 0 tail 12 room 4", "room 12 ", "tail 12"],
        ),
        (&[27_188, 884, 280], &["room 16 ", "tail 4", "room 4 ", "tail 0", "room 8 ", "tail 0"]),
    ];
    for (lengths, expected) in logs {
        let segments: Vec<_> = lengths.iter().map(|length| (0x4010_0000, vec![0x5A; *length])).collect();
        let log = log_of(&packed(&segments));
        let placed = log
            .iter()
            .filter(|line| !line.contains("sum"))
            .map(|line| if line.starts_with("load") { &line[line.find("room").unwrap()..] } else { line });
        assert_eq!(placed.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_header_is_read_and_written_as_the_loader_has_it() {
    let header = BootHeader::dout_4m(0x4010_0004);
    let image = boot_image(&header, &[Segment { address: 0x3FFE_8000, data: b"abc" }]).unwrap();
    assert_eq!(image.len(), 32);
    assert_eq!(image[..8], [0xE9, 1, 3, 0x40, 0x04, 0x00, 0x10, 0x40]);
    assert_eq!(image[8..16], [0x00, 0x80, 0xFE, 0x3F, 4, 0, 0, 0]);
    assert_eq!(image[16..31], *b"abc\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(image[31], 0xEF ^ b'a' ^ b'b' ^ b'c');
    assert_eq!(BootHeader::parse(&image), Ok((header, 1)));
}

#[test]
fn an_image_cut_anywhere_is_refused_and_bytes_behind_it_do_not_matter() {
    let image = packed(&[(0x4010_0000, vec![1; 21]), (0x3FFE_8000, vec![2; 9])]);
    for cut in 0..image.len() {
        assert_eq!(check_boot_image(&image[..cut]), Err(BootImageError::Cut), "{cut}");
    }
    let padded = [&image[..], &[0xFF; 100]].concat();
    assert_eq!(check_boot_image(&padded), check_boot_image(&image));
}

#[test]
fn what_the_rom_would_not_run_is_refused_for_its_reason() {
    let refused = |place: usize, byte: u8| {
        let mut image = packed(&[(0x4010_0000, vec![1, 2, 3, 4])]);
        image[place] = byte;
        check_boot_image(&image).unwrap_err()
    };
    assert_eq!(refused(0, 0xEA).to_string(), "boot image does not begin with e9: ea");
    assert_eq!(refused(0, 0xFF), BootImageError::Magic { found: 0xFF });
    assert_eq!(refused(1, 0), BootImageError::NoSegments);
    assert_eq!(refused(1, 3), BootImageError::Cut, "padding may pass for one empty segment, not for two");
    assert_eq!(refused(15, 0xFF), BootImageError::Cut, "a length beyond the image");
    assert_eq!(refused(16, 9), BootImageError::Checksum { stated: 0xEB, found: 0xE3 });
    assert_eq!(check_boot_image(&[]), Err(BootImageError::Cut));
}

#[test]
fn what_the_format_cannot_express_is_not_built() {
    let header = BootHeader::dout_4m(0);
    let segment = Segment { address: 0x4010_0000, data: &[] };
    assert_eq!(boot_image(&header, &[]), Err(BuildError::Segments { count: 0 }));
    assert!(boot_image(&header, &[segment; 255]).is_ok());
    assert_eq!(boot_image(&header, &[segment; 256]), Err(BuildError::Segments { count: 256 }));
    let odd = Segment { address: 0x4010_0002, data: &[] };
    assert_eq!(boot_image(&header, &[odd]), Err(BuildError::Alignment { address: 0x4010_0002 }));
    let large = BootHeader { size_nibble: 16, ..header };
    assert_eq!(boot_image(&large, &[segment]), Err(BuildError::Nibble { number: 16 }));
}
