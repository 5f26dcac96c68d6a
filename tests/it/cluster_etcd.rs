//! What stands between a gateway and etcd: TLS, users and passwords, tokens, and answers that are none. With a real
//! etcd; skipped where it is not installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poly2mqtt::cluster::{Etcd, EtcdSettings, Registry, RegistryError};
use poly2mqtt::config::{Secret, TlsFiles};
use poly2mqtt_test_support::authority::Authority;
use poly2mqtt_test_support::etcd::permission;
use poly2mqtt_test_support::log::file_contains;
use poly2mqtt_test_support::program::{Running, free_port, output, program};
use poly2mqtt_test_support::{EtcdCluster, EtcdSetup, EtcdUsers, etcd, until};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// What no output and no log may hold.
const SECRETS: [&str; 4] = ["a token of the cluster", "hunter2", "hunter3", "swordfish"];
const USER: &str = "poly2mqtt";
const PASSWORD: &str = "hunter2";

/// The file of a gateway.
struct Gateway<'a> {
    dir: &'a Path,
    name: &'a str,
    etcd: &'a [String],
    authority: Option<&'a Path>,
    login: Option<(&'a str, &'a str)>,
    prefix: &'a str,
}

impl Gateway<'_> {
    fn config(&self) -> PathBuf {
        let secret = |name: String, text: &str| {
            let path = self.dir.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            path
        };
        let login = self.login.map(|(user, password)| {
            let file = secret(format!("{}-password", self.name), password);
            format!("username = \"{user}\"\npassword_file = {file:?}\n")
        });
        let authority = self.authority.map(|file| format!("ca_file = {file:?}\n"));
        let port = free_port();
        let rooms: String = (1..=6)
            .map(|id| {
                format!(
                    "[rooms.{id}]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"insecure\"\n"
                )
            })
            .collect();
        let text = format!(
            "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n[cluster]\nname = \"{}\"\n\
             etcd = {:?}\nprefix = \"{}\"\nadvertise = \"http://127.0.0.1:{port}\"\n\
             token = \"a token of the cluster\"\n{}{}{rooms}",
            self.name,
            self.etcd,
            self.prefix,
            login.unwrap_or_default(),
            authority.unwrap_or_default(),
        );
        secret(format!("{}.toml", self.name), &text)
    }
}

fn with(words: &[&str], config: &Path) -> Output {
    output(program(
        &[words, &["--config", config.to_str().unwrap()]].concat(),
    ))
}

fn printed(output: &Output) -> String {
    let all = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8(all).unwrap();
    assert_no_secret(&text);
    text
}

fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

fn run(config: &Path) -> (Running, PathBuf) {
    let log = config.with_extension("log");
    let mut command = program(&["run", "--config", config.to_str().unwrap()]);
    command.stderr(fs::File::create(&log).unwrap());
    (Running::start(command), log)
}

fn document(config: &Path) -> Value {
    let output = with(&["cluster", "status", "--json"], config);
    printed(&output);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

async fn until_well(config: &Path, members: usize) {
    let is_well = async || {
        let found = document(config);
        found["ok"] == true && found["members"].as_array().unwrap().len() == members
    };
    let what = || format!("{members} gateways are well: {:#}", document(config));
    until(what, is_well).await;
}

/// `check --connect`, `cluster status` and the log of a gateway that runs say this, and none of them holds a secret.
async fn is_told(case: &str, config: &Path, wanted: &str) {
    for words in [&["check", "--connect"][..], &["cluster", "status"]] {
        let tell = || {
            let told = with(words, config);
            (told.status.code(), printed(&told))
        };
        // On a busy machine etcd may not answer in time at first.
        let what = || format!("{case}: {words:?} says {wanted}:\n{}", tell().1);
        until(what, async || {
            let (code, text) = tell();
            assert_eq!(code, Some(1), "{case}: {text}");
            assert!(
                !text.contains("sha256:"),
                "{case}: etcd has no pin:\n{text}"
            );
            text.contains(wanted)
        })
        .await;
    }
    let (running, log) = run(config);
    file_contains(&log, wanted, 1).await;
    drop(running);
    assert_no_secret(&fs::read_to_string(&log).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_rooms_over_tls_with_a_user_and_its_password() {
    if etcd().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "authority");
    let mut store = EtcdCluster::start_with(
        3,
        EtcdSetup {
            tls: Some(authority.certificate("127.0.0.1", |_| {})),
            // What is not used for a second expires.
            more: vec!["--auth-token-ttl".into(), "1".into()],
        },
    );
    let endpoints = store.endpoints();
    let users = EtcdUsers::at(&endpoints[0]);
    users
        .enable(USER, PASSWORD, "READWRITE", "/poly2mqtt/")
        .await;
    let gateway = |name| {
        Gateway {
            dir: dir.path(),
            name,
            etcd: &endpoints,
            authority: Some(&authority.file),
            login: Some((USER, PASSWORD)),
            prefix: "/poly2mqtt/campus",
        }
        .config()
    };
    let [one, two] = ["gw-1", "gw-2"].map(gateway);
    let lines = printed(&with(&["check", "--connect"], &one));
    let wanted =
        "logged in as \"poly2mqtt\"; the gateway may read and write; no gateway is there yet";
    assert!(lines.contains(wanted), "{lines}");
    let ((_first, log), (_second, other_log)) = (run(&one), run(&two));
    until_well(&one, 2).await;
    let found = document(&two);
    let members = found["members"].as_array().unwrap().iter();
    let rooms: u64 = members
        .map(|member| member["rooms"].as_u64().unwrap())
        .sum();
    assert_eq!(rooms, 6, "{found:#}");

    // A token that nobody used is gone, and a client gets a new one.
    let token = users.token(USER, PASSWORD).await;
    let client = Etcd::new(EtcdSettings {
        endpoints: endpoints.clone(),
        login: Some((USER.into(), Secret::new(PASSWORD))),
        authorities: Some(authority.file.clone()),
    })
    .unwrap();
    let list = async || client.list("/poly2mqtt/campus/format").await;
    until(|| "etcd answers".into(), async || list().await.is_ok()).await;
    let body = json!({"key": "L3BvbHkybXF0dC94"});
    let is_expired = async || users.post("kv/range", body.clone(), Some(&token)).await.0 == 401;
    until(
        || "the token expires".into(),
        async || {
            sleep(Duration::from_secs(3)).await;
            is_expired().await
        },
    )
    .await;
    let renews = || "etcd gives a new token".into();
    until(renews, async || list().await.is_ok()).await;

    // The tokens are in the members' memories.
    for n in 0..3 {
        store.kill(n);
        sleep(Duration::from_secs(2)).await;
        store.start_member(n);
        until_well(&one, 2).await;
    }
    for log in [&log, &other_log] {
        let text = fs::read_to_string(log).unwrap();
        assert!(!text.contains("refuses"), "{text}");
        assert_no_secret(&text);
    }

    // Another password, and then the right one again.
    let password = |password: &str| json!({"name": USER, "password": password});
    users
        .as_root("auth/user/changepw", password("hunter3"))
        .await;
    file_contains(&log, "etcd refuses the user and password", 1).await;
    users
        .as_root("auth/user/changepw", password(PASSWORD))
        .await;
    until_well(&one, 2).await;

    // No rights any more, and then again.
    let role = |user: &str| json!({"user": user, "role": USER});
    let revoked = json!({"name": USER, "role": USER});
    users.as_root("auth/user/revoke", revoked).await;
    let wanted = "etcd does not let the user \"poly2mqtt\" read and write below cluster.prefix";
    file_contains(&log, wanted, 1).await;
    users.as_root("auth/user/grant", role(USER)).await;
    until_well(&one, 2).await;
    assert_no_secret(&fs::read_to_string(&log).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_gateway_from_etcd_is_told_in_words() {
    if etcd().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "authority");
    let other = Authority::new(dir.path(), "other");
    let good = || authority.certificate("127.0.0.1", |_| {});
    let start = |tls: Option<TlsFiles>, more: &[&str]| {
        EtcdCluster::start_with(
            1,
            EtcdSetup {
                tls,
                more: more.iter().map(ToString::to_string).collect(),
            },
        )
    };
    let store = start(Some(good()), &[]);
    let endpoint = store.endpoints().remove(0);
    let users = EtcdUsers::at(&endpoint);
    users
        .enable(USER, PASSWORD, "READWRITE", "/poly2mqtt/")
        .await;
    users
        .as_root("auth/role/grant", permission(USER, "READ", "/readable/"))
        .await;
    let told = async |case: &str, etcd: &str, authority: &Path, login, prefix, wanted: &str| {
        let etcd = [etcd.to_owned()];
        let gateway = Gateway {
            dir: dir.path(),
            name: "gw-1",
            etcd: &etcd,
            authority: Some(authority),
            login,
            prefix,
        };
        is_told(case, &gateway.config(), wanted).await;
    };
    let user = Some((USER, PASSWORD));
    let campus = "/poly2mqtt/campus";
    let ca = &*authority.file;

    let wanted = "etcd's certificate is signed by \"authority\", which is not in cluster.ca_file; put that authority \
                  into cluster.ca_file";
    told(
        "another authority",
        &endpoint,
        &other.file,
        user,
        campus,
        wanted,
    )
    .await;
    let wrong_host = endpoint.replace("127.0.0.1", "localhost");
    let wanted = "etcd's certificate is for 127.0.0.1, not for localhost; use that name in cluster.etcd, or make a \
                  certificate for localhost";
    told("another host", &wrong_host, ca, user, campus, wanted).await;

    let wanted = "etcd refuses the user and password (cluster.username, cluster.password_file)";
    told(
        "wrong password",
        &endpoint,
        ca,
        Some((USER, "hunter3")),
        campus,
        wanted,
    )
    .await;
    told(
        "unknown user",
        &endpoint,
        ca,
        Some(("nobody", PASSWORD)),
        campus,
        wanted,
    )
    .await;
    let wanted = "etcd wants a user; give cluster.username and cluster.password_file";
    told("no user", &endpoint, ca, None, campus, wanted).await;
    let wanted = "etcd does not let the user \"poly2mqtt\" read and write below cluster.prefix";
    told(
        "no rights",
        &endpoint,
        ca,
        user,
        "/elsewhere/campus",
        wanted,
    )
    .await;

    let plain = endpoint.replace("https://", "http://");
    let wanted = "if it has a certificate, give https:// in cluster.etcd";
    told("http:// to TLS", &plain, ca, user, campus, wanted).await;

    // It may read: `cluster status` has nothing against that.
    let etcd = [endpoint.clone()];
    let readable = Gateway {
        dir: dir.path(),
        name: "gw-1",
        etcd: &etcd,
        authority: Some(ca),
        login: user,
        prefix: "/readable/campus",
    }
    .config();
    let checked = printed(&with(&["check", "--connect"], &readable));
    let wanted = "the gateway may read, and not write: etcd does not let the user";
    assert!(checked.contains(wanted), "{checked}");
    let (reader, log) = run(&readable);
    file_contains(
        &log,
        "etcd does not let the user \"poly2mqtt\" read and write",
        1,
    )
    .await;
    // Some heartbeats later it is still one line. On a busy machine etcd may not answer in time, which is told as well.
    sleep(Duration::from_secs(3)).await;
    drop(reader);
    let text = fs::read_to_string(&log).unwrap();
    let refused = "no contact with etcd: etcd does not let the user";
    assert_eq!(text.matches(refused).count(), 1, "{text}");

    // A user is configured, and etcd does not ask for it.
    users.as_root("auth/disable", json!({})).await;
    let wanted = "etcd asks for no password though cluster.username is set";
    told("no authentication", &endpoint, ca, user, campus, wanted).await;
    drop(store);

    let expired = authority.certificate("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 2, 3);
    });
    let store = start(Some(expired), &[]);
    let wanted = "etcd's certificate expired on 2021-02-03; renew it";
    told("expired", &store.endpoints()[0], ca, user, campus, wanted).await;
    drop(store);

    let trusted = [
        "--client-cert-auth",
        "--trusted-ca-file",
        ca.to_str().unwrap(),
    ];
    let store = start(Some(good()), &trusted);
    let wanted =
        "wants a client certificate; the gateway has none: give etcd no --client-cert-auth";
    told(
        "client certificates",
        &store.endpoints()[0],
        ca,
        user,
        campus,
        wanted,
    )
    .await;
    drop(store);

    let store = start(None, &[]);
    let encrypted = store.endpoints()[0].replace("http://", "https://");
    let wanted = "closes the connection when TLS begins; etcd's port for clients is 2379, and without a certificate it \
                  is http://";
    told(
        "https:// to plain HTTP",
        &encrypted,
        ca,
        user,
        campus,
        wanted,
    )
    .await;
}

/// A server that answers each request with this head, and then with this again and again. Counts what it has sent.
async fn endless(head: &'static str, part: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::<AtomicUsize>::default();
    let counted = sent.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (part, counted) = (part.clone(), counted.clone());
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let mut next = head.as_bytes();
                while stream.write_all(next).await.is_ok() {
                    counted.fetch_add(next.len(), Ordering::Relaxed);
                    next = &part;
                }
            });
        }
    });
    (address, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_not_read_to_its_end() {
    const MIB: usize = 1 << 20;
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 1 << 16], b"\r\n".to_vec()].concat();
    for (head, part) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk.clone(),
        ),
        (
            "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
            vec![b'x'; 1 << 16],
        ),
        ("HTTP/1.0 200 OK\r\n\r\n", vec![b'{'; 1 << 16]),
    ] {
        let (address, sent) = endless(head, part).await;
        let etcd = Etcd::new(EtcdSettings {
            endpoints: vec![address.clone()],
            login: None,
            authorities: None,
        })
        .unwrap();
        let wanted =
            format!("etcd at {address}: it sends more than 16 MiB, which no answer of etcd has");
        // A busy machine may need longer for it than a call may take.
        let is_told = async || {
            let before = sent.load(Ordering::Relaxed);
            let listed = etcd.list("/x").await.map(drop);
            // The system holds some of what was not read.
            assert!(sent.load(Ordering::Relaxed) - before < 40 * MIB, "{head}");
            listed == Err(RegistryError::InDoubt(wanted.clone()))
        };
        until(|| format!("{head}: {wanted}"), is_told).await;
        let status = async || {
            etcd.status()
                .await
                .is_err_and(|error| error.to_string() == wanted)
        };
        until(|| format!("{head}: {wanted}"), status).await;
    }
}
