//! poly2mqtt: the gateway from MQTT to Poly VideoOS rooms.

fn main() -> std::process::ExitCode {
    poly2mqtt::cli::main()
}
