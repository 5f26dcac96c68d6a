//! `poly2mqtt check --health`: the health check of containers.
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::spawn;

use poly2mqtt_test_support::door::certificate;
use poly2mqtt_test_support::free_port;
use poly2mqtt_test_support::program::{Running, listening, output, program};
use poly2mqtt_test_support::wait::until_some;

/// A room whose address refuses connections.
const ROOM: &str =
    "[rooms.1]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"insecure\"\n";

/// The configuration with these lines in `[http]`.
fn config(dir: &Path, mqtt: &str, http: &str) -> PathBuf {
    let path = dir.join("poly2mqtt.toml");
    let text = format!("[mqtt]\nurl = \"{mqtt}\"\n[http]\n{http}\n{ROOM}");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

fn health(config: &Path, words: &[&str]) -> Output {
    let mut command = program(&["check", "--health"]);
    command.args(words).arg("--config").arg(config);
    output(command)
}

/// The exit status, and the line that says how the gateway is.
fn told(output: &Output) -> (i32, String) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let line = stdout + &stderr;
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code().unwrap(), line.trim_end().to_owned())
}

/// Runs the gateway, and asks until it has tried its room.
fn with_gateway(config: &Path, ask: impl FnOnce()) {
    let mut run = program(&["run", "--config"]);
    run.arg(config);
    let running = Running::start(run);
    until_some(
        || "the gateway has tried its room".to_owned(),
        || {
            let (status, line) = told(&health(config, &[]));
            (status == 0 && !line.contains("not tried yet")).then_some(())
        },
    );
    ask();
    running.terminate();
}

#[test]
fn a_gateway_is_asked_wherever_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let tls = format!(
        "tls_cert_file = \"{}\"\ntls_key_file = \"{}\"",
        files.certificate.display(),
        files.key.display()
    );
    let token = "[[http.token]]\nname = \"a\"\ntoken = \"a long random text\"";
    for (host, more, rooms) in [
        ("127.0.0.1", "", ", 0 of 1 rooms online"),
        ("0.0.0.0", "open = true", ", 0 of 1 rooms online"),
        ("127.0.0.1", &tls, ", 0 of 1 rooms online"),
        // Without a token the rooms are not told.
        ("0.0.0.0", token, ""),
    ] {
        let listen = format!("listen = \"{host}:{}\"\n{more}", free_port());
        let config = config(dir.path(), "off", &listen);
        with_gateway(&config, || {
            for words in [&[][..], &["ready"]] {
                let wanted = format!("the gateway runs and is ready: no broker configured{rooms}");
                assert_eq!(told(&health(&config, words)), (0, wanted), "{listen}");
            }
        });
        let (status, line) = told(&health(&config, &[]));
        assert_eq!(status, 1, "{line}");
        assert!(
            line.starts_with("no answer from the gateway at 127.0.0.1:"),
            "{line}"
        );
    }
}

/// A broker that is away is no reason for a restart, so the gateway is alive but not ready.
#[test]
fn a_gateway_without_its_broker_is_alive_and_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("listen = \"127.0.0.1:{}\"", free_port());
    let config = config(dir.path(), "mqtt://127.0.0.1:1", &listen);
    with_gateway(&config, || {
        let line = "the gateway runs but is not ready: broker disconnected, 0 of 1 rooms online";
        for (words, status) in [(&[][..], 0), (&["alive"], 0), (&["ready"], 1)] {
            assert_eq!(told(&health(&config, words)), (status, line.to_owned()));
        }
    });
}

#[test]
fn what_cannot_be_asked_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for (http, wanted) in [
        ("listen = \"off\"", "http.listen is \"off\""),
        ("listen = \"127.0.0.1:0\"", "port 0"),
        ("listn = \"off\"", "unknown key"),
    ] {
        let (status, line) = told(&health(&config(dir.path(), "off", http), &[]));
        assert_eq!(status, 1, "{line}");
        assert!(line.contains(wanted), "{line}");
    }
}

/// Something else at the port is not taken for the gateway, whatever it sends.
#[test]
fn another_program_at_the_port_is_not_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    for (answer, wanted) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
            "another program answers there (status 200)",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "another program answers there (status 302)",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "no answer from the gateway"),
        ("", "no answer from the gateway"),
    ] {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let serving = spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let listen = format!("listen = \"127.0.0.1:{port}\"");
        let (status, line) = told(&health(&config(dir.path(), "off", &listen), &[]));
        assert_eq!(status, 1, "{line}");
        assert!(line.contains(wanted), "{line}");
        serving.join().unwrap();
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    listening(port);
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    let (status, line) = told(&health(&config(dir.path(), "off", &listen), &[]));
    assert_eq!(status, 1, "{line}");
    assert!(line.ends_with("nothing came within 5 s"), "{line}");
}
