//! A test that hangs ends its program, and the last line says which it was.

use std::time::Duration;

use poly2mqtt_test_support::program::output;
use poly2mqtt_test_support::watchdog;

/// Started by the other test, in a process of its own.
#[test]
#[ignore = "hangs if a limit is set; the other test starts it"]
fn hangs() {
    if watchdog::limit_is_set() {
        watchdog::awaits("what never comes");
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[test]
fn a_test_that_hangs_is_named() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "hanging::hangs"]);
    command.args(["--test-threads", "2"]);
    command.env(watchdog::LIMIT_VARIABLE, "1");
    let ended = output(command);
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    for wanted in [
        "hanging::hangs has not ended for ",
        " It waited last for: what never comes\n",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
}
