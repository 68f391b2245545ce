//! Compiles lwIP's core and this board's C, with the compiler of the chip.
//!
//! `ESPBROKER_LWIP` is the folder of the package `lwip`, whose C source is all that is used of it; `cargo xtask lx106
//! build` finds it and sets the variable.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// lwIP's `COREFILES` and `CORE4FILES`, without what the options leave empty.
const CORE: [&str; 19] = [
    "def",
    "dns",
    "inet_chksum",
    "init",
    "ip",
    "mem",
    "memp",
    "netif",
    "pbuf",
    "raw",
    "tcp",
    "tcp_in",
    "tcp_out",
    "timeouts",
    "udp",
    "ipv4/etharp",
    "ipv4/icmp",
    "ipv4/ip4",
    "ipv4/ip4_addr",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=../lwip/c");
    println!("cargo::rerun-if-changed=board.ld");
    println!("cargo::rerun-if-env-changed=ESPBROKER_LWIP");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture != "xtensa") {
        return;
    }
    let lwip =
        PathBuf::from(env::var_os("ESPBROKER_LWIP").expect("cargo xtask lx106 build sets ESPBROKER_LWIP"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let core = lwip.join("src/core");
    let mut sources: Vec<_> = CORE.iter().map(|name| core.join(name).with_extension("c")).collect();
    sources.push(lwip.join("src/netif/ethernet.c"));
    sources.push(here.join("c/interface.c"));
    sources.push(here.join("../lwip/c/pcb.c"));
    sources.push(here.join("../lwip/c/datagrams.c"));
    let archive = out.join("liblwip.a");
    let _ = std::fs::remove_file(&archive);
    let objects: Vec<_> = sources.iter().map(|source| compile(source, &lwip, &here, &out)).collect();
    run(Command::new("xtensa-lx106-elf-ar").arg("rcsD").arg(&archive).args(&objects));
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static:-bundle=lwip");
    println!("cargo::rustc-link-arg=-L/usr/lib/xtensa-lx106-elf/lib");
    println!("cargo::rustc-link-arg=-Wl,-T,{}", here.join("board.ld").display());
    println!("cargo::rustc-link-arg=-Wl,--gc-sections");
}

fn compile(source: &Path, lwip: &Path, here: &Path, out: &Path) -> PathBuf {
    let object = out.join(source.file_name().expect("a file")).with_extension("o");
    run(Command::new("xtensa-lx106-elf-gcc")
        .args(["-c", "-Os", "-std=c11", "-ffunction-sections", "-fdata-sections", "-mtext-section-literals"])
        .args(["-mlongcalls", "-fno-builtin-printf", "-Wall"])
        .args(["-isystem", "/usr/lib/xtensa-lx106-elf/include"])
        .arg(format!("-ffile-prefix-map={}=lwip", lwip.display()))
        .arg(format!("-ffile-prefix-map={}=board", here.display()))
        .arg("-I")
        .arg(here.join("c"))
        .arg("-I")
        .arg(lwip.join("src/include"))
        .arg(source)
        .arg("-o")
        .arg(&object));
    object
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?}: {status}"),
        Err(error) => {
            panic!("{command:?}: {error}: apt-get install gcc-xtensa-lx106 picolibc-xtensa-lx106-elf")
        }
    }
}
