//! The MQTT front door against real brokers: the embedded one and, where installed, Mosquitto.
//! One file a subject.
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use poly2mqtt::command::{
    DoorKind, ErrorCode, Failure, FileAnswer, Reply, Submission, Submit, Success,
};
use poly2mqtt::doors::mqtt::{MqttDoor, MqttSettings};
use poly2mqtt::state::StateStore;
use poly2mqtt::telemetry::Telemetry;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use poly2mqtt_test_support::{SOON, TestBroker, plain_tcp};

/// Answers each command according to its name, and remembers it.
#[derive(Default)]
struct FakeGateway {
    seen: Mutex<Vec<Seen>>,
    refused: Mutex<Vec<(String, ErrorCode)>>,
    held: Mutex<Vec<Submission>>,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Seen {
    room: String,
    command: String,
    payload: Bytes,
    expires: bool,
}

fn file(bytes: impl Into<Bytes>) -> Success {
    let bytes: Bytes = bytes.into();
    let file = FileAnswer {
        topic: "file".into(),
        content_type: "image/jpeg".into(),
        size: Some(bytes.len() as u64),
        bytes: Some(bytes),
        is_state: false,
    };
    Success::file(200, file)
}

impl Submit for FakeGateway {
    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        let refused = (reply.command().to_owned(), failure.code);
        self.refused.lock().unwrap().push(refused);
        reply.answer(Err(failure));
    }

    fn submit(&self, submission: Submission) {
        self.seen.lock().unwrap().push(Seen {
            room: submission.room.to_string(),
            command: submission.command.clone(),
            payload: submission.payload.clone(),
            expires: submission.expires.is_some(),
        });
        match submission.command.as_str() {
            "hold" => self.held.lock().unwrap().push(submission),
            "file/get" => submission.reply.answer(Ok(file(&b"\xff\xd8\xff"[..]))),
            "long" => {
                let body = "x".repeat(5000).into();
                submission.reply.answer(Ok(Success::new(200, body)));
            }
            "large/get" => submission.reply.answer(Ok(file(vec![0; 2 << 20]))),
            "bad" => {
                let failure = Failure::new(ErrorCode::NotFound, "there is none");
                submission.reply.answer(Err(failure));
            }
            _ => submission.reply.answer(Ok(Success::new(200, Value::Null))),
        }
        self.changed.notify_waiters();
    }
}

impl FakeGateway {
    async fn until(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(&self.seen.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        timeout(SOON, wait)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }
}

struct Setup {
    store: Arc<StateStore>,
    gateway: Arc<FakeGateway>,
    telemetry: Arc<Telemetry>,
    door: MqttDoor,
    settings: MqttSettings,
}

fn settings(broker: &TestBroker) -> MqttSettings {
    let (username, password) = broker.gateway_login().unzip();
    MqttSettings {
        username,
        password,
        max_payload: 1 << 20,
        ..MqttSettings::new(plain_tcp(broker.port()))
    }
}

async fn setup(settings: MqttSettings) -> Setup {
    let it = start(settings);
    connected(&it.door).await;
    it
}

/// Like [`setup`], without waiting until the broker is connected.
fn start(settings: MqttSettings) -> Setup {
    let (store, gateway) = (StateStore::new(), Arc::<FakeGateway>::default());
    let telemetry = Arc::<Telemetry>::default();
    let door = MqttDoor::start(
        settings.clone(),
        store.clone(),
        gateway.clone(),
        telemetry.clone(),
        None,
    )
    .unwrap();
    Setup {
        store,
        gateway,
        telemetry,
        door,
        settings,
    }
}

async fn connected(door: &MqttDoor) {
    let mut connected = door.connected();
    let up = connected.wait_for(|connected| *connected);
    timeout(SOON, up).await.expect("connects").unwrap();
}

/// Makes each function a test against both brokers.
macro_rules! against_both {
    ($($name:ident),* $(,)?) => {
        mod embedded_broker {
            $(#[tokio::test] async fn $name() { super::$name(poly2mqtt_test_support::BrokerKind::Embedded).await; })*
        }
        mod real_mosquitto {
            $(#[tokio::test] async fn $name() {
                if poly2mqtt_test_support::mosquitto().is_some() {
                    super::$name(poly2mqtt_test_support::BrokerKind::Mosquitto).await;
                }
            })*
        }
    };
}

mod broker_refusals;
mod commands;
mod connection;
mod delivery;
mod embedded;
mod limited_brokers;
mod older_broker;
mod redelivery;
mod refusals;
mod retain_flag;
mod states;
mod throttling;
mod wills;
