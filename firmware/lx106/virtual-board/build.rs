//! Assembles what must not lie in flash, as rustc has no inline assembler for the LX106, and names the link script.

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=start.S");
    println!("cargo::rerun-if-changed=board.ld");
    if !env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "xtensa") {
        return;
    }
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("start.o");
    let mut assembler = Command::new("xtensa-lx106-elf-gcc");
    assembler.args(["-c", "start.S", "-o"]).arg(&object);
    match assembler.status() {
        Ok(status) => assert!(status.success(), "{assembler:?}: {status}"),
        Err(error) => panic!("{assembler:?}: {error}: apt-get install gcc-xtensa-lx106"),
    }
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-arg-bins={}", object.display());
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/board.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,--gc-sections");
}
