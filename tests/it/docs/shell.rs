//! Every line of shell on the pages is run, or `NOT_RUN` says why it cannot be.
//!
//! A page's blocks run in their order, in one folder, with one gateway and simulated devices. The ports of the pages
//! are replaced by theirs. Programs that would take a port, ask at a terminal or compile are stood in for: of
//! `poly2mqtt run` and the like the command line alone is checked. A block of shell with a new kind of line fails until
//! it can be run or the table has it.
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use poly2mqtt_test_support::program::{self, Running, free_port, listening};
use poly2mqtt_test_support::wait::until_some;

use super::{page, pages, root};

/// The languages of fenced blocks. Another one might be shell that nobody runs.
const LANGUAGES: [&str; 9] = [
    "sh", "text", "toml", "json", "js", "yaml", "rust", "diff", "csharp",
];

/// How many pages run at the same time, each with a gateway.
const PAGES_AT_A_TIME: usize = 4;

/// How a line of shell begins that is not run, and the reason. `sudo` before it does not count. A file of this
/// project that it starts must be there, and executable.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "apt ",
        "installs on this machine; tests/package.sh does it in a new Debian",
    ),
    (
        "tar xzf poly2mqtt-",
        "needs the tarball; tests/package.sh unpacks it",
    ),
    (
        "./poly2mqtt-",
        "needs the tarball; tests/package.sh installs it",
    ),
    ("install -m 755 target/", "writes into the system"),
    ("mkdir -p /etc/etcd", "writes into the system"),
    ("install -m 644 ca.pem", "writes into the system"),
    ("install -m 640 -g ", "writes into the system"),
    ("systemctl ", "needs systemd"),
    ("etcdctl ", "needs the etcd of the page"),
    ("journalctl ", "needs systemd"),
    (
        "docker ",
        "needs Docker; tools/check-containers.py checks the files",
    ),
    (
        "examples/docker/secrets.sh",
        "makes secrets in the checkout, for Docker",
    ),
    (
        "mosquitto_sub -u client",
        "needs the broker and the secrets of Compose",
    ),
    ("mosquitto_passwd ", "asks for a password at a terminal"),
    (
        "npm install ",
        "fetches from a registry; tests/clients.sh and tests/live do it",
    ),
    ("cp -r examples/companion", "writes into the home directory"),
    ("mcs ", "tests/clients.sh crestron compiles the same files"),
    ("mono ", "tests/clients.sh crestron runs the same program"),
    (
        "node examples/mute.mjs",
        "runs in tests/live/tools.rs, where Node.js is installed",
    ),
    ("tests/", "a test of its own"),
    ("cargo test", "runs tests; .ci/run does"),
    ("cargo build", "builds; .ci/run does"),
    ("cargo install ", "fetches from a registry"),
    (
        "cargo run -- topics | grep brightness",
        "needs the operation of the page: tests/it/adding_an_operation.rs adds it",
    ),
    (
        "just ",
        "a recipe; tests/it/docs/project.rs checks its name",
    ),
    (
        "RUSTC_BOOTSTRAP=1 cargo fuzz",
        "runs for as long as one likes; .ci/run builds the targets",
    ),
    (
        "mkdir -p fuzz/corpus/",
        "makes folders in the checkout, for the line after it",
    ),
    ("POLY2MQTT_FAULTS_SECONDS=", "runs for an hour"),
    ("POLY2MQTT_CLUSTER_", "runs for an hour"),
    ("POLY2MQTT_TEST_", "runs tests; .ci/run does"),
    ("pngquant ", "writes the pictures of the pages again"),
];

/// Programs of others that need not be installed here. Lines with them are left out where they are not;
/// tests/live runs them.
const OPTIONAL: [&str; 4] = ["websocat", "wscat", "mqtt", "nc"];

/// Starts of lines that go on until they are ended, unless one of the words after it makes them end.
const ENDLESS: [(&str, &[&str]); 5] = [
    ("mosquitto_sub ", &[" -C ", " -W "]),
    ("websocat ", &[" -n1 "]),
    ("wscat ", &[" -x "]),
    ("mqtt sub ", &[]),
    ("echo 'subscribe ", &[" -w "]),
];

/// How long such a line has to go on, in seconds.
const GOES_ON: &str = "1.5";
/// The status of `timeout` when it had to end the program.
const ENDED_BY_TIMEOUT: i32 = 124;

/// The fenced blocks of a page: language and text. Blocks in lists are moved to the left.
fn fenced(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let indent = line.len() - line.trim_start().len();
                open = Some((indent, language.trim().to_owned(), String::new()));
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take().map(|(_, language, text)| (language, text)))
            }
            (Some((indent, _, block)), None) => {
                *block += line.get(*indent..).unwrap_or_default();
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// The commands of a block: lines, joined until the shell takes them as whole.
fn commands(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut command = String::new();
    for line in block.lines() {
        command += line;
        command.push('\n');
        let is_whole = || {
            let read = Command::new("bash").args(["-n", "-c", &command]).output();
            read.is_ok_and(|read| read.status.success()) && !line.ends_with('\\')
        };
        if !command.trim().is_empty() && is_whole() {
            commands.push(std::mem::take(&mut command).trim().to_owned());
        }
    }
    assert!(command.trim().is_empty(), "no whole command: {command}");
    commands
}

/// The commands of a page: those of its blocks of shell, and those after `$ ` in others.
fn commands_of(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (language, block) in fenced(text) {
        assert!(LANGUAGES.contains(&language.as_str()), "```{language}");
        if language == "sh" {
            all.extend(commands(&block));
        } else if language == "text" {
            let typed = block.lines().filter_map(|line| line.strip_prefix("$ "));
            all.extend(typed.map(str::to_owned));
        }
    }
    all
}

/// The entry of [`NOT_RUN`] that a command has.
fn not_run(command: &str) -> Option<usize> {
    let command = command.strip_prefix("sudo ").unwrap_or(command);
    NOT_RUN
        .iter()
        .position(|(start, _)| command.starts_with(start))
}

/// Whether a program can be found.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Whether a line needs a program that is not here. Only Mosquitto's clients can be required.
fn lacks_a_program(command: &str) -> bool {
    let required = std::env::var("POLY2MQTT_TEST_MOSQUITTO").is_ok_and(|word| word == "required");
    let mut words = command.split([' ', '|', '\n']);
    words.any(|word| {
        let optional = OPTIONAL.contains(&word) || (word.starts_with("mosquitto_") && !required);
        optional && !is_installed(word)
    })
}

fn is_endless(command: &str) -> bool {
    let ends = |words: &[&str]| words.iter().any(|word| command.contains(word));
    let starts = ENDLESS
        .iter()
        .any(|(start, words)| command.starts_with(start) && !ends(words));
    // A group that reads from the terminal for as long as somebody types.
    starts || (command.starts_with('{') && command.contains("| nc "))
}

/// A gateway with simulated devices, a folder with its configuration, and stand-ins for programs.
struct Bench {
    devices: Running,
    gateway: Running,
    folder: tempfile::TempDir,
    /// Texts on the pages, and what stands in their place.
    replaced: Vec<(&'static str, String)>,
}

impl Bench {
    fn start() -> Self {
        let [broker, http, tcp, control, device] = [(); 5].map(|()| free_port());
        let at = |port| format!("127.0.0.1:{port}");
        let ports = [device, control];
        let [device, control, http] = [device, control, http].map(at);
        let words = ["simulate", "--listen", &device, "--control", &control];
        let devices = Running::start(program::program(&words));
        // A gateway is ready too when it found no device.
        ports.into_iter().for_each(listening);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("poly2mqtt.toml");
        let room = format!(
            "url = \"https://{device}\"\npassword_file = \"boardroom.password\"\ncertificate = \"insecure\""
        );
        let config = format!(
            "[mqtt]\nurl = \"embedded://127.0.0.1:{broker}\"\n[http]\nlisten = \"{http}\"\n\
             [tcp]\nlisten = \"127.0.0.1:{tcp}\"\n[rooms.boardroom]\n{room}\n[rooms.1]\n{room}\n\
             presets = {{ 1 = \"Whole table\", 2 = \"Lectern\" }}\n"
        );
        fs::write(folder.path().join("boardroom.password"), "456\n").unwrap();
        fs::write(&file, config).unwrap();
        let config = file.to_str().unwrap();
        let gateway = Running::start(program::program(&["run", "--config", config]));
        let is_ready = || {
            let words = ["check", "--health", "ready", "--config", config];
            let asked = program::output(program::program(&words));
            asked.status.success().then_some(())
        };
        until_some(|| "the gateway is ready".to_owned(), is_ready);
        let bench = Self {
            devices,
            gateway,
            folder,
            replaced: vec![
                ("https://av.example.com:8080", format!("http://{http}")),
                ("127.0.0.1:8080", http),
                ("127.0.0.1 8023", format!("127.0.0.1 {tcp}")),
                ("127.0.0.1:8442", control),
                // Folders of the system.
                (" /etc/mosquitto/", " ./".into()),
                (" /etc/poly2mqtt/", " ./".into()),
            ],
        };
        bench.add_stand_ins(broker);
        bench
    }

    /// Ends it; both programs end well.
    fn end(self, page: &str) {
        for (program, name) in [(self.gateway, "gateway"), (self.devices, "devices")] {
            let (status, _) = program.terminate();
            assert_eq!(status.code(), Some(0), "{page}: {name}");
        }
    }

    fn stand_ins(&self) -> PathBuf {
        self.folder.path().join("stand-ins")
    }

    fn add_stand_ins(&self, broker: u16) {
        fs::create_dir(self.stand_ins()).unwrap();
        let add = |name: &str, script: &str| {
            let file = self.stand_ins().join(name);
            fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let outside = format!("PATH='{path}'");
        for client in ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"] {
            add(
                client,
                &format!("{outside} exec {client} -p {broker} \"$@\""),
            );
        }
        add(
            "mqtt",
            &format!("{outside} exec mqtt \"$1\" -p {broker} \"${{@:2}}\""),
        );
        // A status such as 404 is a failure.
        add(
            "curl",
            &format!("{outside} exec curl --silent --show-error --fail-with-body \"$@\""),
        );
        add("sudo", "exec \"$@\"");
        let program = program::path();
        add(
            "poly2mqtt",
            &format!(
                "case $1 in\n  check | clear | topics | schema | man | completions) exec '{0}' \"$@\" ;;\n  \
                 *) exec '{0}' \"$@\" --help ;;\nesac",
                program.display()
            ),
        );
        add(
            "cargo",
            "while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done; shift; exec poly2mqtt \"$@\"",
        );
    }

    /// Runs a command as it is on the page.
    fn run(&self, command: &str) -> Output {
        let mut line = command.to_owned();
        for (from, to) in &self.replaced {
            line = line.replace(from, to);
        }
        let mut shell = if is_endless(command) {
            let mut timeout = Command::new("timeout");
            timeout.args([GOES_ON, "bash"]);
            timeout
        } else {
            Command::new("bash")
        };
        let path = std::env::var("PATH").unwrap_or_default();
        // A variable that one line of a block sets is there in the next.
        let script = format!(
            "set -o pipefail; touch variables; . ./variables; {line}\nstatus=$?; declare -p host san 2>/dev/null \
             >variables; exit $status"
        );
        shell
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.stand_ins().display()))
            .env("TOKEN", "a-long-random-token")
            // Somebody could type into what goes on.
            .stdin(if is_endless(command) {
                Stdio::piped()
            } else {
                Stdio::null()
            });
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POLY2MQTT_") {
                shell.env_remove(name);
            }
        }
        program::output(shell)
    }
}

/// Why a command that was run did not do what its page says.
fn failure(page: &str, command: &str, output: &Output) -> Option<String> {
    let status = output.status.code();
    let printed = String::from_utf8_lossy(&output.stdout);
    let worked = match is_endless(command) {
        true => status == Some(ENDED_BY_TIMEOUT),
        // Mosquitto's status when its time is over.
        false if command.starts_with("mosquitto_sub") => matches!(status, Some(0 | 27)),
        false => status == Some(0),
    };
    // The page about the simulator shows what goes wrong.
    let refused = printed.contains("\"ok\":false") && !page.ends_with("simulator.md");
    (!worked || refused).then(|| format!("{page}: {command}\n  {output:?}"))
}

#[test]
fn every_line_of_shell_on_the_pages_is_run_or_has_a_reason() {
    let mut not_run_entries = BTreeSet::new();
    let mut to_run = VecDeque::new();
    let mut skipped = 0;
    for (path, text) in pages() {
        let page = path.strip_prefix(root()).unwrap().display().to_string();
        let mut lines = Vec::new();
        for command in commands_of(&text) {
            if let Some(entry) = not_run(&command) {
                not_run_entries.insert(entry);
                check_started_file(&page, &command);
            } else if lacks_a_program(&command) {
                println!("SKIPPED: {page}: {command}");
                skipped += 1;
            } else {
                lines.push(command);
            }
        }
        if !lines.is_empty() {
            to_run.push_back((page, lines));
        }
    }
    for (entry, (start, _)) in NOT_RUN.iter().enumerate() {
        assert!(not_run_entries.contains(&entry), "no page has: {start}");
    }
    let count = to_run.iter().map(|(_, lines)| lines.len()).sum::<usize>() + skipped;
    assert!(count > 80, "{count}");

    let to_run = Mutex::new(to_run);
    let failures = Mutex::new(Vec::new());
    let next = || to_run.lock().unwrap().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..PAGES_AT_A_TIME {
            scope.spawn(|| {
                while let Some((page, lines)) = next() {
                    let bench = Bench::start();
                    for line in lines {
                        let failed = failure(&page, &line, &bench.run(&line));
                        failures.lock().unwrap().extend(failed);
                    }
                    bench.end(&page);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The page says of its buttons for scripts that they fail if the command fails, and print the reason.
#[test]
fn buttons_for_scripts_fail_if_the_command_fails() {
    let text = page("docs/shell.md");
    let (_, section) = text.split_once("they fail if the command fails").unwrap();
    let commands = commands_of(section.split_inclusive("\n```\n").next().unwrap());
    assert_eq!(commands.len(), 2, "{commands:?}");
    let bench = Bench::start();
    for command in commands {
        let wrong = command.replace("toggle", "loud");
        assert_ne!(wrong, command);
        let output = bench.run(&wrong);
        assert!(!output.status.success(), "{wrong}: {output:?}");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains("invalid_payload"), "{wrong}: {printed}");
    }
    bench.end("docs/shell.md");
}

/// A line that is not run starts a file that is there, if it is one of this project.
fn check_started_file(page: &str, command: &str) {
    let start = command.split_whitespace().next().unwrap();
    if start.contains('/') && !start.contains('=') && !start.starts_with('.') {
        let mode = fs::metadata(root().join(start)).map(|found| found.permissions().mode());
        assert!(
            mode.is_ok_and(|mode| mode & 0o111 != 0),
            "{page}: {start} cannot be started"
        );
    }
}

#[test]
fn commands_are_found_whatever_block_they_are_in() {
    let page = "1. Do:\n\n   ```sh\n   echo a \\\n     b\n   ```\n\n```text\n$ typed\nanswer\n```\n\
                ```sh\n{ echo 'x\n y'; } | cat\nnext   # why\n```\n";
    assert_eq!(
        commands_of(page),
        [
            "echo a \\\n  b",
            "typed",
            "{ echo 'x\n y'; } | cat",
            "next   # why"
        ]
    );
    assert_eq!(not_run("sudo apt install x"), Some(0));
    assert_eq!(not_run("poly2mqtt check"), None);
    assert!(is_endless("mosquitto_sub -v -t 'room/#'"));
    assert!(!is_endless("mosquitto_sub -t a -C 1 -v"));
    // What nobody installed and no entry names is a failure, not a line that is left out.
    assert!(!lacks_a_program("unheard_of --x"));
}
