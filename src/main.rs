//! The program `poly2mqtt`; everything is in the library.

/// Gives memory back to the system after a flood: docs/decisions/allocator.md.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    poly2mqtt::cli::main()
}
