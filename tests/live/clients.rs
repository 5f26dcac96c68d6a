//! The clients for Q-SYS, Crestron and Companion in `examples/`. `tests/clients.sh` runs them against a
//! gateway.
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use poly2mqtt::catalogue::Call;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
#[ignore = "needs Lua, Node.js and Mono: run with tests/clients.sh --install"]
fn the_clients_work_against_a_gateway() {
    let status = Command::new(root().join("tests/clients.sh"))
        .env("POLY2MQTT", env!("CARGO_BIN_EXE_poly2mqtt"))
        .env("POLY2MQTT_TEST_CLIENTS", "required")
        .status()
        .unwrap();
    assert!(status.success());
}

/// SIMPL+ cannot be compiled here, but its commands can be compared with the catalogue.
#[test]
fn the_simpl_plus_module_sends_only_what_there_is() {
    let module = root().join("examples/crestron/poly2mqtt_room.usp");
    let text = std::fs::read_to_string(module).unwrap();
    let mut count = 0;
    for rest in text.split(" Command(\"").skip(1) {
        let line = rest.split_once(");").unwrap().0;
        let line = line.replace("\" + itoa(number) + \"", "3");
        let line = line.replace("\" + Encoded(Preset_By_Name$) + \"", "Whole%20table");
        let line = line.replace("\" + Dial_Address$", "somebody");
        let line = line.trim_end_matches('"');
        let (command, payload) = line.split_once(' ').unwrap_or((line, ""));
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let call = Call::parse(command, &payload, &mut None);
        assert!(call.is_ok(), "{line}: {call:?}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}
