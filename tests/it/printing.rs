//! Every command that prints: its reader leaves, the disk is full, or standard output is closed. None panics,
//! and the exit status is the right one.
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use poly2mqtt_test_support::free_port;
use poly2mqtt_test_support::program::{Running, listening, path, program};

/// The commands that print and end; `config` is a good configuration.
fn commands(config: &str) -> Vec<Vec<&str>> {
    let check = ["check", "--config", config];
    vec![
        vec!["--help"],
        vec!["--version"],
        vec!["help", "demo"],
        vec!["run", "--help"],
        vec!["check", "--help"],
        vec!["topics"],
        vec!["topics", "--markdown"],
        vec!["topics", "--acl"],
        vec!["asyncapi"],
        vec!["schema"],
        vec!["schema", "--example"],
        vec!["completions", "bash"],
        vec!["man"],
        check.to_vec(),
        [&check[..], &["--connect"]].concat(),
    ]
}

/// A configuration without rooms and doors, so that `check --connect` has nothing to try.
fn good(dir: &Path) -> String {
    write(
        dir,
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
    )
}

fn write(dir: &Path, text: &str) -> String {
    let path = dir.join("poly2mqtt.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A pipe whose reader has left.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// The same command with its standard output closed.
fn without_stdout(words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" >&-"])
        .arg(path())
        .args(words);
    command
}

fn ends(mut command: Command, words: &[&str]) -> (Option<i32>, String) {
    command.stderr(Stdio::piped());
    let Output { status, stderr, .. } = Running::start_printing(command).output();
    let told = String::from_utf8(stderr).unwrap();
    assert!(!told.contains("panicked"), "{words:?}: {told}");
    (status.code(), told)
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for words in commands(&good(dir.path())) {
        let mut command = program(&words);
        command.stdout(closed_pipe());
        let (status, told) = ends(command, &words);
        assert_eq!(status, Some(0), "{words:?}: {told}");
        let (status, told) = ends(without_stdout(&words), &words);
        assert_eq!(status, Some(0), "{words:?}: {told}");
    }
}

#[test]
fn a_full_disk_is_told_and_is_status_1() {
    let dir = tempfile::tempdir().unwrap();
    for words in commands(&good(dir.path())) {
        let mut command = program(&words);
        command.stdout(full_disk());
        let (status, told) = ends(command, &words);
        assert_eq!(status, Some(1), "{words:?}: {told}");
        let last = told.lines().last().unwrap();
        assert_eq!(
            last, "cannot print: No space left on device; free some space",
            "{words:?}: {told}"
        );
    }
}

/// What was checked still decides the status where nobody reads it, wherever errors go.
#[test]
fn the_status_of_check_needs_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let room = "[rooms.1]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\n";
    let off = "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"off\"\n";
    for (text, expected) in [
        (format!("{off}{room}"), 1),
        (format!("{off}{room}nonsense = 1\n"), 2),
        (off.to_owned(), 0),
    ] {
        let config = write(dir.path(), &text);
        let words = ["check", "--connect", "--config", &config];
        for stderr in [Stdio::null(), closed_pipe(), full_disk()] {
            let mut command = program(&words);
            command.stdout(closed_pipe()).stderr(stderr);
            let status = Running::start_printing(command).wait();
            assert_eq!(status.code(), Some(expected), "{text}");
        }
    }
}

/// The demo and the simulator go on without a reader, and end where they cannot say what to try.
#[test]
fn demo_and_simulate_go_on_without_a_reader() {
    let any = "127.0.0.1:0";
    let demo = [
        "demo",
        "--rooms",
        "1",
        "--listen",
        any,
        "--http",
        any,
        "--control",
        any,
    ];
    let simulate = ["simulate", "--listen", any, "--control", any];
    for words in [&demo[..], &simulate] {
        let mut command = program(words);
        command.stdout(full_disk());
        let (status, told) = ends(command, words);
        assert_eq!(status, Some(1), "{words:?}: {told}");
        assert!(
            told.contains("cannot print: No space left"),
            "{words:?}: {told}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let [http, control] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let demo = [
        "demo",
        "--rooms",
        "1",
        "--listen",
        any,
        "--http",
        &http,
        "--control",
        any,
    ];
    let simulate = ["simulate", "--listen", any, "--control", &control];
    for (words, at) in [(&demo[..], &http), (&simulate, &control)] {
        let log = dir.path().join("log");
        let mut command = program(words);
        command
            .stdout(closed_pipe())
            .stderr(File::create(&log).unwrap());
        let running = Running::start_printing(command);
        listening(at.rsplit(':').next().unwrap().parse().unwrap());
        running.signal("TERM");
        assert_eq!(running.wait().code(), Some(0), "{words:?}");
        let told = fs::read_to_string(&log).unwrap();
        assert!(!told.contains("panicked"), "{words:?}: {told}");
    }
}
