//! Chooses the link script.

fn main() {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/qemu.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SCRIPT}");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "xtensa") {
        println!("cargo::rustc-link-arg-bins=-T{SCRIPT}");
    }
}
