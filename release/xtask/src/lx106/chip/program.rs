//! Linking the object with the SDK, and what came of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use espbroker_config::image::boot::Segment;

use super::{budget::Figures, sdk::Sdk, text};
use crate::{
    lx106::{build, elf, tools},
    process::{self, Failure},
};

/// The SDK's script for both slots of 1 MB: they are mapped to the same address.
const SCRIPT: &str = "eagle.app.v6.new.2048.ld";
/// The SDK's archives; the one for segments of 1,460 bytes: the other one's allocator has one argument less.
const ARCHIVES: [&str; 9] =
    ["-lphy", "-lpp", "-lnet80211", "-llwip", "-lwpa", "-lcrypto", "-lmain", "-lgcc", "-lhal"];
/// What the SDK's makefiles give the compiler, and a library's headers.
const COMPILE: [&str; 11] = [
    "-c",
    "-Os",
    "-std=gnu11",
    "-Wall",
    "-ffreestanding",
    "-mlongcalls",
    "-mtext-section-literals",
    "-DICACHE_FLASH",
    "-DLWIP_OPEN_SRC",
    "-isystem",
    "/usr/lib/xtensa-lx106-elf/include",
];
/// Where the flash is seen.
const FLASH: u32 = 0x4020_0000;
/// Where the SDK's heap ends.
const HEAP_END: u32 = 0x3FFF_C000;

/// A linked program.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) entry: u32,
    /// What stays in flash.
    pub(crate) flash: &'a [u8],
    /// What the boot loader copies into RAM.
    pub(crate) ram: Vec<Segment<'a>>,
    pub(crate) figures: Figures,
}

/// Links, and returns the path of the ELF file.
///
/// # Errors
///
/// When something does not compile or link.
pub(crate) fn link(object: &Path, sdk: &Sdk, folder: &Path) -> Result<PathBuf, Failure> {
    // The SDK's headers want a file of the program's.
    fs::write(folder.join("user_config.h"), "")?;
    fs::write(
        folder.join("phy.s"),
        format!(
            "\t.section\t.irom.text, \"a\"\n\t.align\t4\n\t.global\tespbroker_phy_data\nespbroker_phy_data:\n\t.incbin\t\
             \"{}\"\n",
            text(&sdk.phy_data())?
        ),
    )?;
    let lx106 = build::workspace();
    let sources = [
        lx106.join("lwip/c/pcb.c"),
        lx106.join("lwip/c/datagrams.c"),
        lx106.join("esp8266/c/runtime.c"),
        folder.join("phy.s"),
    ];
    let objects = sources.iter().map(|source| compile(source, sdk, folder)).collect::<Result<Vec<_>, _>>()?;
    let elf = folder.join("espbroker-esp8266.elf");
    process::run(
        Command::new(tools::GCC)
            // The script includes another one by a path that begins here.
            .current_dir(sdk.folder.join("ld"))
            .args(["-nostdlib", "-static", "-u", "call_user_start", "-Wl,-e,call_user_start", "-T", SCRIPT])
            .args(["-Wl,--gc-sections", "-Wl,--no-check-sections", "-Wl,--no-warn-execstack"])
            .arg(format!("-Wl,-Map={}", text(&folder.join("espbroker-esp8266.map"))?))
            .arg("-L")
            .arg(sdk.folder.join("lib"))
            .arg(object)
            .args(&objects)
            .arg("-Wl,--start-group")
            .args(ARCHIVES)
            .args(["-Wl,--end-group", "-o"])
            .arg(&elf),
    )?;
    Ok(elf)
}

fn compile(source: &Path, sdk: &Sdk, folder: &Path) -> Result<PathBuf, Failure> {
    let object = folder.join(source.file_name().unwrap_or_default()).with_extension("o");
    process::run(
        Command::new(tools::GCC)
            .args(COMPILE)
            .arg("-I")
            .arg(sdk.folder.join("include"))
            .arg("-I")
            .arg(sdk.folder.join("third_party/include"))
            .arg("-I")
            .arg(folder)
            .arg(source)
            .arg("-o")
            .arg(&object),
    )?;
    // The SDK's script would put it into instruction RAM.
    let rename = ["--rename-section", ".text=.irom0.text"];
    process::run(Command::new("xtensa-lx106-elf-objcopy").args(rename).arg(&object))?;
    Ok(object)
}

/// Bytes of each section.
///
/// # Errors
///
/// When the file is no object.
pub(crate) fn sections(file: &Path) -> Result<BTreeMap<String, u32>, Failure> {
    let printed = process::run(Command::new("xtensa-lx106-elf-size").args(["-A", "-d"]).arg(file))?;
    Ok(printed.lines().filter_map(section).collect())
}

fn section(line: &str) -> Option<(String, u32)> {
    let mut words = line.split_whitespace();
    let (name, size) = (words.next()?, words.next()?);
    Some((name.to_owned(), size.parse().ok()?)).filter(|(name, _)| name.starts_with('.'))
}

impl<'a> Program<'a> {
    /// Takes a linked program apart.
    ///
    /// # Errors
    ///
    /// When it is not linked as the SDK's script does.
    pub(crate) fn read(path: &Path, file: &'a [u8]) -> Result<Self, Failure> {
        let elf::Program { entry, segments } = elf::read(file)?;
        let (flash, mut ram): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|segment| segment.address >= FLASH);
        let [flash] = flash.as_slice() else {
            return Err(format!("the program has {} parts in flash instead of one", flash.len()).into());
        };
        // Instruction RAM first, as Espressif's images have it.
        ram.sort_by_key(|segment| std::cmp::Reverse(segment.address));
        let sections = sections(path)?;
        let size = |name: &str| sections.get(name).copied().unwrap_or(0);
        let figures = Figures {
            instruction_ram: size(".text"),
            data: size(".data") + size(".rodata"),
            zeroed: size(".bss"),
            heap_at_link: HEAP_END.saturating_sub(heap_start(path)?),
            flash: size(".irom0.text"),
        };
        Ok(Self { entry, flash: flash.data, ram, figures })
    }
}

fn heap_start(path: &Path) -> Result<u32, Failure> {
    let symbols = process::run(Command::new("xtensa-lx106-elf-nm").arg(path))?;
    let line = symbols.lines().find(|line| line.ends_with(" _heap_start"));
    let address =
        line.and_then(|line| line.split_whitespace().next()).ok_or("the program has no _heap_start")?;
    Ok(u32::from_str_radix(address, 16)?)
}
