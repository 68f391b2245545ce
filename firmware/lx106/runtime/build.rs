//! Assembles the start-up code: rustc has no inline assembler for the LX106.

use std::{env, path::PathBuf, process::Command};

fn main() {
    const SOURCE: &str = "src/qemu/start.S";
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    let on_the_chip = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "xtensa");
    if !on_the_chip || env::var_os("CARGO_FEATURE_QEMU").is_none() {
        return;
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (object, archive) = (folder.join("start.o"), folder.join("libstart.a"));
    run(Command::new("xtensa-lx106-elf-gcc").args(["-c", SOURCE, "-o"]).arg(&object));
    run(Command::new("xtensa-lx106-elf-ar").arg("rcsD").arg(&archive).arg(&object));
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static:-bundle=start");
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?}: {status}"),
        Err(error) => panic!("{command:?}: {error}: apt-get install gcc-xtensa-lx106"),
    }
}
