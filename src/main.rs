//! The program `poly2mqtt`; everything is in the library.

fn main() -> std::process::ExitCode {
    poly2mqtt::cli::main()
}
