//! `poly2mqtt cluster status`, and what `check --connect` and `clear` do with `[cluster]`. With a real etcd; skipped
//! where it is not installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;

use poly2mqtt_test_support::etcd::ROOT_PASSWORD;
use poly2mqtt_test_support::program::{Running, free_port, output, program};
use poly2mqtt_test_support::{EtcdCluster, EtcdUsers, etcd, until};
use serde_json::Value;

/// A room whose address refuses connections.
const ROOM: &str = "url = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"insecure\"\n";

/// The file of a gateway without broker.
fn config(dir: &Path, name: &str, endpoints: &[String], more: &str, rooms: &[&str]) -> PathBuf {
    let port = free_port();
    let rooms = rooms.iter().map(|id| format!("[rooms.{id}]\n{ROOM}"));
    let rooms = rooms.collect::<String>();
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n[cluster]\nname = \"{name}\"\n\
         etcd = {endpoints:?}\nprefix = \"/test/campus\"\nadvertise = \"http://127.0.0.1:{port}\"\n\
         token = \"a token of the cluster\"\n{more}\n{rooms}"
    );
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

fn with(words: &[&str], config: &Path) -> Output {
    let config = config.to_str().unwrap();
    output(program(&[words, &["--config", config]].concat()))
}

fn status(config: &Path) -> Output {
    with(&["cluster", "status"], config)
}

fn document(config: &Path) -> Value {
    let output = with(&["cluster", "status", "--json"], config);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Calls the program until what it says contains this: etcd may not answer in time on a busy machine.
async fn until_told(words: &[&str], config: &Path, wanted: &str) -> Output {
    let last = Mutex::new(None);
    let what = || format!("{words:?} says {wanted}: {:?}", last.lock().unwrap());
    until(what, async || {
        let output = with(words, config);
        let is_told = (text(&output.stdout) + &text(&output.stderr)).contains(wanted);
        *last.lock().unwrap() = Some(output);
        is_told
    })
    .await;
    last.into_inner().unwrap().unwrap()
}

/// Neither output holds a secret.
fn assert_no_secret(output: &Output) {
    let all = text(&output.stdout) + &text(&output.stderr);
    for secret in ["a token of the cluster", "hunter2"] {
        assert!(!all.contains(secret), "{all}");
    }
}

fn run(config: &Path) -> Running {
    Running::start(program(&["run", "--config", config.to_str().unwrap()]))
}

async fn until_ok(config: &Path, members: usize) {
    let is_ok = async || {
        let found = document(config);
        found["ok"] == true && found["members"].as_array().unwrap().len() == members
    };
    until(
        || format!("{members} gateways are well: {:#}", document(config)),
        is_ok,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_members_rooms_and_what_is_wrong() {
    if etcd().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut store = EtcdCluster::start(3);
    let endpoints = store.endpoints();
    let rooms = ["1", "2", "3", "4", "5", "6"];
    let [one, two] = ["gw-1", "gw-2"].map(|name| config(dir.path(), name, &endpoints, "", &rooms));

    let wanted = "no gateway is in the cluster /test/campus";
    let nobody = until_told(&["cluster", "status"], &one, wanted).await;
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");

    let (first, second) = (run(&one), run(&two));
    until_ok(&one, 2).await;
    let good = status(&two);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_no_secret(&good);
    let lines = text(&good.stdout);
    for wanted in [
        "gateway gw-1\thttp://127.0.0.1:",
        "leader, term ",
        "all 1024 have a gateway",
    ] {
        assert!(lines.contains(wanted), "{wanted}: {lines}");
    }
    assert_eq!(lines.matches("etcd\t").count(), 3, "{lines}");
    let found = document(&one);
    let members = found["members"].as_array().unwrap();
    let sum = |key: &str| -> u64 { members.iter().map(|it| it[key].as_u64().unwrap()).sum() };
    assert_eq!((sum("shards"), sum("rooms")), (1024, 6), "{found:#}");
    assert!(members.iter().all(|it| it["alive"] == true), "{found:#}");

    // What `check --connect` finds.
    let wanted = "the gateway may read and write; gateways there: gw-1, gw-2";
    let checked = until_told(&["check", "--connect"], &one, wanted).await;
    let lines = text(&checked.stdout);
    assert_no_secret(&checked);
    assert_eq!(
        lines.matches("cluster.etcd\thttp://127.0.0.1:").count(),
        3,
        "{lines}"
    );
    // The check has changed nothing.
    until_ok(&one, 2).await;

    // A paused gateway sends no heartbeat; the other one removes it and takes its rooms.
    second.signal("STOP");
    let seen = async || {
        let told = text(&status(&one).stderr);
        told.contains("gw-2 sends no heartbeat") || told.contains("shards have no gateway")
    };
    until(|| "the pause is seen".into(), seen).await;
    until_ok(&one, 1).await;
    second.signal("CONT");
    until_ok(&one, 2).await;

    // Other rooms.
    second.terminate();
    let other = config(dir.path(), "gw-2", &endpoints, "", &rooms[..5]);
    let second = run(&other);
    let differs =
        async || text(&status(&one).stderr).contains("the configuration of rooms differs");
    until(|| "the difference is told".into(), differs).await;
    second.terminate();
    until_ok(&one, 1).await;

    // A member of etcd that does not answer, and all of them. If it led, the others elect first.
    store.kill(0);
    let wanted = format!("etcd at {}: ", endpoints[0]);
    let only_that = async || {
        let away = status(&one);
        assert_eq!(away.status.code(), Some(1), "{away:?}");
        let told = text(&away.stderr);
        let told: Vec<&str> = told
            .lines()
            .filter(|line| !line.contains(" WARN "))
            .collect();
        told.len() == 1 && told[0].starts_with(&wanted)
    };
    until(|| format!("only {wanted} is told"), only_that).await;
    (1..3).for_each(|n| store.kill(n));
    let away = status(&one);
    assert_eq!(away.status.code(), Some(1), "{away:?}");
    assert!(text(&away.stderr).contains(&endpoints[2]), "{away:?}");
    assert_no_secret(&away);
    first.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_missing_rights_are_told_in_words() {
    if etcd().is_none() {
        return;
    }
    let store = EtcdCluster::start(1);
    let endpoints = store.endpoints();
    EtcdUsers::at(&endpoints[0])
        .enable("reader", "hunter2", "READ", "/test/")
        .await;
    let dir = tempfile::tempdir().unwrap();
    let file = |login: &str| config(dir.path(), "gw-1", &endpoints, login, &["1"]);
    let user =
        |name: &str, password: &str| format!("username = \"{name}\"\npassword = \"{password}\"");
    for (login, wanted) in [
        (String::new(), "etcd wants a user"),
        (
            user("root", "hunter2"),
            "etcd refuses the user and password",
        ),
    ] {
        for words in [&["cluster", "status"][..], &["check", "--connect"]] {
            let refused = until_told(words, &file(&login), wanted).await;
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert_no_secret(&refused);
        }
    }
    let check = &["check", "--connect"];
    let reader = file(&user("reader", "hunter2"));
    assert_no_secret(&until_told(check, &reader, "may read, and not write: ").await);
    let root = file(&user("root", ROOT_PASSWORD));
    let wanted = "logged in as \"root\"; the gateway may read and write; no gateway is there yet";
    until_told(check, &root, wanted).await;
}

#[test]
fn a_gateway_that_is_alone_has_no_status_of_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    fs::write(
        &path,
        format!("[mqtt]\nurl = \"off\"\n[http]\nlisten = \"off\"\n[rooms.1]\n{ROOM}"),
    )
    .unwrap();
    let alone = status(&path);
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    assert!(text(&alone.stderr).contains("no [cluster]"), "{alone:?}");
    fs::write(&path, "[cluster]\nname = \"a b\"\n").unwrap();
    assert_eq!(status(&path).status.code(), Some(2));
}

/// It would clear the topics of all gateways.
#[test]
fn a_wildcard_is_no_gateway_that_is_gone() {
    for name in ["+", "#", "", "gw 1", "gw/1"] {
        let refused = output(program(&["cluster", "forget", name]));
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let wanted = "takes 1 to 32 letters, digits, _ and -";
        assert!(text(&refused.stderr).contains(wanted), "{refused:?}");
    }
}
