//! The certificates that the gateway shows others, over time: `check` and `run` say that one has expired, or
//! will, a reload says it again, and the metrics tell its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{CertificateParams, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use poly2mqtt_test_support::door::http;
use poly2mqtt_test_support::program::{self, Running, listening, program};
use poly2mqtt_test_support::{SOON, free_port};

/// A time that many days from now, and an hour, so that whole days stay what they are during a test.
fn in_days(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(days) + Duration::hours(1)
}

/// Writes `<name>.pem` and `<name>.key`, valid between two days from now.
fn write(dir: &Path, name: &str, [from, until]: [i64; 2]) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = in_days(from);
    params.not_after = in_days(until);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// Where both certificates have a use. Nothing answers at the broker's address.
fn config(dir: &Path, port: u16) -> PathBuf {
    let path = dir.join("poly2mqtt.toml");
    let text = format!(
        "[mqtt]\nurl = \"mqtts://127.0.0.1:1\"\nca_file = \"http.pem\"\nclient_cert_file = \
         \"client.pem\"\nclient_key_file = \"client.key\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         tls_cert_file = \"http.pem\"\ntls_key_file = \"http.key\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn output(words: &[&str], config: &Path) -> Output {
    let mut command = program(words);
    command.arg("--config").arg(config);
    program::output(command)
}

#[test]
fn check_says_which_certificate_expires_when() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), free_port());
    let day = |days| in_days(days).date();
    let fine = [-10, 300];
    for (server, client, wanted) in [
        (fine, fine, vec![]),
        ([-10, 21], fine, vec![]),
        (
            [-10, 20],
            fine,
            vec![format!(
                "http.tls_cert_file expires in 20 days, on {} ",
                day(20)
            )],
        ),
        (
            [-400, -35],
            fine,
            vec![format!("http.tls_cert_file expired on {} ", day(-35))],
        ),
        (
            fine,
            [-10, 1],
            vec![format!(
                "mqtt.client_cert_file expires in 1 day, on {} ",
                day(1)
            )],
        ),
        (
            [2, 300],
            [-20, -1],
            vec![
                format!("http.tls_cert_file is not valid before {} ", day(2)),
                format!("mqtt.client_cert_file expired on {} ", day(-1)),
            ],
        ),
    ] {
        write(dir.path(), "http", server);
        write(dir.path(), "client", client);
        let checked = output(&["check"], &path);
        // It can be used, if those who see it do not look at dates.
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        let told = String::from_utf8(checked.stderr).unwrap();
        for line in &wanted {
            assert!(told.contains(line), "{line}\n{told}");
        }
        assert_eq!(told.matches("_cert_file ").count(), wanted.len(), "{told}");
        let listed = output(&["check", "--json"], &path);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let listed = listed["warnings"].to_string();
        assert!(wanted.iter().all(|line| listed.contains(line)), "{listed}");
    }
}

/// Waits until the log holds this text so many times.
async fn logged(log: &Path, text: &str, times: usize) {
    let wait = async {
        while fs::read_to_string(log).unwrap().matches(text).count() < times {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let came = timeout(SOON, wait).await;
    assert!(came.is_ok(), "{text}\n{}", fs::read_to_string(log).unwrap());
}

/// How many days the metrics give a certificate.
async fn days_left(port: u16, key: &str) -> i64 {
    let url = format!("https://127.0.0.1:{port}/metrics");
    let page = http().get(url).send().await.unwrap().text().await.unwrap();
    let name = format!("poly2mqtt_tls_certificate_expiry_seconds{{key=\"{key}\"}} ");
    let mut lines = page.lines();
    let seconds = lines.find_map(|line| line.strip_prefix(&*name)).unwrap();
    Duration::seconds(seconds.parse().unwrap()).whole_days()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_says_it_at_the_start_and_after_each_reload() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = config(dir.path(), port);
    write(dir.path(), "http", [-400, -2]);
    write(dir.path(), "client", [-10, 12]);
    let log = dir.path().join("log");
    let mut run = program(&["run", "--config", path.to_str().unwrap()]);
    run.stderr(File::create(&log).unwrap());
    let gateway = Running::start(run);
    listening(port);
    logged(&log, "http.tls_cert_file expired on ", 1).await;
    logged(&log, "mqtt.client_cert_file expires in 12 days, on ", 1).await;
    assert_eq!(days_left(port, "http.tls_cert_file").await, -1);
    assert_eq!(days_left(port, "mqtt.client_cert_file").await, 12);

    gateway.signal("HUP");
    logged(&log, "configuration read again", 1).await;
    logged(&log, "http.tls_cert_file expired on ", 2).await;

    write(dir.path(), "http", [-1, 90]);
    gateway.signal("HUP");
    logged(&log, "configuration read again", 2).await;
    assert_eq!(days_left(port, "http.tls_cert_file").await, 90);
    logged(&log, "mqtt.client_cert_file expires in 12 days, on ", 3).await;
    assert_eq!(gateway.terminate().0.code(), Some(0));
    let told = fs::read_to_string(&log).unwrap();
    assert_eq!(told.matches("http.tls_cert_file ").count(), 2, "{told}");
}
