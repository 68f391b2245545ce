//! Prints the lines: on the console of QEMU's LX106, or on the host's standard output.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
#[global_allocator]
static HEAP: espbroker_lx106_runtime::qemu::Heap = espbroker_lx106_runtime::qemu::Heap::new();

#[cfg(target_arch = "xtensa")]
#[unsafe(no_mangle)]
extern "C" fn lx106_main() -> u32 {
    u32::from(espbroker_lx106_self_check::run(&mut espbroker_lx106_runtime::qemu::Console).is_err())
}

#[cfg(not(target_arch = "xtensa"))]
fn main() -> std::process::ExitCode {
    let mut text = String::new();
    match espbroker_lx106_self_check::run(&mut text) {
        Ok(()) => {
            print!("{text}");
            std::process::ExitCode::SUCCESS
        }
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
