//! Commands against a simulated device: which requests they make, in which order.

mod calls;
mod checks;
mod files;

use std::time::Duration;

use bytes::Bytes;
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::config::Certificate;
use crate::device::{DeviceSettings, DeviceTimings};
use crate::rooms::testing::device_settings;

struct Fixture {
    simulated: SimulatedDevice,
    device: Device,
}

impl Fixture {
    async fn new(options: Options) -> Self {
        Self::with(options, |_| {}).await
    }

    /// With settings that `change` has changed.
    async fn with(options: Options, change: impl FnOnce(&mut DeviceSettings)) -> Self {
        let simulated = SimulatedDevice::start(options).await.unwrap();
        let certificate = Certificate::parse(&simulated.fingerprint()).unwrap();
        let mut settings = device_settings(&simulated.url(), certificate);
        change(&mut settings);
        let device = Device::new(settings).unwrap();
        device.log_in().await.unwrap();
        simulated.clear_journal();
        Self { simulated, device }
    }

    async fn execute(&self, topic: &str, payload: &'static str) -> Executed {
        self.execute_with(topic, payload, None).await
    }

    async fn execute_with(
        &self,
        topic: &str,
        payload: &'static str,
        stored: Option<Value>,
    ) -> Executed {
        let call = Call::parse(topic, &Bytes::from(payload), &mut None).unwrap();
        let environment = CommandEnvironment {
            context: Context {
                now: 0,
                preset_offset: None,
                preset_names: None,
                started: None,
            },
            preset_offset: None,
            conference: None,
            lacks_branch: false,
            max_payload: 1 << 20,
            stored,
            setting_names: Arc::default(),
            spellings: Spellings::default(),
            readings: Arc::default(),
            check: None,
            mode_lock: ModeLock::default(),
        };
        execute(&self.device, call, environment, Transfer::None).await
    }

    fn requests(&self) -> Vec<String> {
        let entries = self.simulated.take_journal().into_iter();
        entries
            .map(|entry| format!("{} {}", entry.method, entry.path))
            .collect()
    }

    fn fault(&self, method: &str, path: &str, kind: FaultKind) {
        self.simulated
            .add_fault(Fault::on(path, kind).method(method));
    }
}

/// The paths of what was read, in order.
fn read(executed: &Executed) -> Vec<&'static str> {
    let readings = executed.readings.iter();
    readings.map(|reading| reading.operation.path).collect()
}

#[tokio::test]
async fn a_command_is_followed_by_the_read_of_what_it_changed() {
    let room = Fixture::new(Options::default()).await;
    let executed = room.execute("audio/volume/set", "42").await;
    assert!(executed.result.is_ok());
    assert_eq!(
        room.requests(),
        ["POST /rest/audio/volume", "GET /rest/audio"]
    );
    assert_eq!(read(&executed), ["/rest/audio"]);
    let ReadOutcome::Value(audio) = &executed.readings[0].outcome else {
        unreachable!()
    };
    assert_eq!(audio["volume"], 42);
}

#[tokio::test]
async fn a_toggle_reads_first_and_sets_the_opposite() {
    let room = Fixture::new(Options::default()).await;
    for muted in [true, false] {
        let executed = room.execute("audio/muted/set", "toggle").await;
        assert!(executed.result.is_ok());
        let wanted = [
            "GET /rest/audio/muted",
            "POST /rest/audio/muted",
            "GET /rest/audio",
        ];
        assert_eq!(room.requests(), wanted);
        assert_eq!(room.simulated.state()["audio"]["muted"], muted);
    }
}

/// An endpoint may answer null for a moment. That is not "no call", nor a volume of null.
#[tokio::test]
async fn what_says_nothing_is_no_answer_to_a_command() {
    let room = Fixture::new(Options::default()).await;
    room.execute("call/dial", "a@b").await.result.unwrap();
    for kind in [FaultKind::Null, FaultKind::Status(204)] {
        room.fault("GET", "/rest/", kind.clone());
        room.requests();
        for command in [
            "call/hangup",
            "call/answer",
            "call/state/get",
            "calls/get",
            "audio/get",
            "audio/volume/get",
            "video/muted/get",
        ] {
            let failure = room.execute(command, "").await.result.unwrap_err();
            assert_eq!(failure.code, ErrorCode::DeviceError, "{command} {kind:?}");
        }
        let requests = room.requests();
        let is_read = |request: &String| request.starts_with("GET ");
        assert!(requests.iter().all(is_read), "{requests:?}");
        room.simulated.clear_faults();
    }
    let hung_up = room.execute("call/hangup", "").await.result.unwrap();
    assert_eq!(hung_up.warning, None);
}

#[tokio::test]
async fn a_plan_of_several_steps_makes_a_request_of_each() {
    let room = Fixture::new(Options::default()).await;
    let executed = room.execute("audio/dtmf/play", "12").await;
    assert!(executed.result.is_ok());
    assert_eq!(room.requests(), ["POST /rest/audio", "POST /rest/audio"]);
}

#[tokio::test]
async fn a_refused_command_is_not_read_back() {
    let room = Fixture::new(Options::default()).await;
    room.fault("POST", "/rest/audio/volume", FaultKind::Status(500));
    let executed = room.execute("audio/volume/set", "42").await;
    let failure = executed.result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DeviceError);
    assert!(executed.readings.is_empty());
    assert_eq!(room.requests(), ["POST /rest/audio/volume"]);
}

#[tokio::test]
async fn a_read_back_that_fails_does_not_fail_the_command() {
    let room = Fixture::new(Options::default()).await;
    room.fault("GET", "/rest/audio", FaultKind::Status(500));
    let executed = room.execute("audio/volume/set", "42").await;
    let success = executed.result.unwrap();
    let wanted = "the device accepted this, but audio could not be read back: the device answered \
                  500: a fault of the simulator";
    assert_eq!(success.warning.as_deref(), Some(wanted));
    assert!(matches!(
        executed.readings[0].outcome,
        ReadOutcome::Failed(_)
    ));
}

#[tokio::test]
async fn a_mode_that_refuses_the_read_back_is_told_as_that() {
    let room = Fixture::new(Options::default()).await;
    // The device takes the command, and then changes its mode.
    let teams = FaultKind::Body(r#"{"activePersona":"Teams"}"#.into());
    room.fault("GET", "/rest/system/mode", teams);
    room.fault("GET", "/rest/audio", FaultKind::Status(403));
    let executed = room.execute("audio/volume/set", "42").await;
    let wanted = "the device accepted this, but audio could not be read back: the device runs in Teams \
                  mode and refuses this read";
    assert_eq!(executed.result.unwrap().warning.as_deref(), Some(wanted));
}

#[tokio::test]
async fn success_in_another_spelling_is_understood() {
    let room = Fixture::new(Options::default()).await;
    for (success, ok) in [
        ("false", false),
        ("0", false),
        ("\"false\"", false),
        ("1", true),
        ("\"true\"", true),
    ] {
        room.simulated.clear_faults();
        let body = FaultKind::Body(format!(r#"{{"success":{success}}}"#));
        room.fault("POST", "/rest/audio/volume", body);
        let executed = room.execute("audio/volume/set", "42").await;
        assert_eq!(executed.result.is_ok(), ok, "{success}");
    }
}

#[tokio::test]
async fn whatever_comes_in_place_of_a_read_back_is_a_warning() {
    let room = Fixture::new(Options::default()).await;
    for (kind, words) in [
        (FaultKind::Status(404), "does not have that (404)"),
        (FaultKind::Garbage, "not text"),
        (FaultKind::Null, "empty or null"),
        (FaultKind::Truncated, "breaks off"),
        (FaultKind::Page, "a page"),
        (FaultKind::Redirect, "a redirect"),
        (FaultKind::DropBefore, "the connection to the device broke"),
        (FaultKind::Huge(12 << 20), "larger than"),
        (FaultKind::Body("[]".into()), "a list"),
        (FaultKind::Body(r#"{"muted":1}"#.into()), "lacks"),
    ] {
        room.simulated.clear_faults();
        room.fault("GET", "/rest/audio", kind.clone());
        let executed = room.execute("audio/volume/set", "42").await;
        let warning = executed.result.unwrap().warning.unwrap();
        assert!(warning.contains(words), "{kind:?}: {warning}");
        assert!(
            warning.contains("audio could not be read back"),
            "{warning}"
        );
    }
    room.simulated.clear_faults();
    let executed = room.execute("audio/volume/set", "42").await;
    assert_eq!(executed.result.unwrap().warning, None);
    // There is no collaboration any more, which is an answer.
    let executed = room.execute("collaboration/end", "").await;
    assert_eq!(executed.result.unwrap().warning, None);
}

#[tokio::test]
async fn a_command_is_answered_by_a_device_or_has_failed() {
    let room = Fixture::new(Options::default()).await;
    for (kind, words) in [
        (FaultKind::Page, Err("a page, not JSON")),
        (FaultKind::Redirect, Err("answered 302, a redirect")),
        (FaultKind::Status(307), Err("answered 307, a redirect")),
        (FaultKind::Garbage, Err("not text")),
        (
            FaultKind::Body(r#"{"success":tr"#.into()),
            Err("breaks off"),
        ),
        (FaultKind::Body("[{\"rel\":".into()), Err("breaks off")),
        (FaultKind::Body("{success}".into()), Err("not JSON")),
        (FaultKind::Body(String::new()), Ok(Value::Null)),
        (FaultKind::Body("null".into()), Ok(Value::Null)),
        (FaultKind::Body("0".into()), Ok(json!(0))),
        (FaultKind::Body("true".into()), Ok(json!(true))),
        (FaultKind::Body("OK".into()), Ok(json!("OK"))),
        (
            FaultKind::Body("The volume is set.".into()),
            Ok(Value::Null),
        ),
    ] {
        room.simulated.clear_faults();
        room.fault("POST", "/rest/audio/volume", kind.clone());
        let result = room.execute("audio/volume/set", "42").await.result;
        match words {
            Ok(body) => assert_eq!(result.unwrap().body, body, "{kind:?}"),
            Err(words) => {
                let failure = result.unwrap_err();
                assert_eq!(failure.code, ErrorCode::DeviceError, "{kind:?}");
                assert!(failure.message.contains(words), "{}", failure.message);
            }
        }
    }
}

#[tokio::test]
async fn a_query_is_answered_by_a_device_or_has_failed() {
    let room = Fixture::new(Options::default()).await;
    for body in ["\"hello\"", "{\"status\":", "[1,2]", "true", "<html>"] {
        room.simulated.clear_faults();
        room.fault("GET", "/rest/", FaultKind::Body(body.into()));
        for query in ["calendar/meetings/get", "audio/volume/get", "audio/get"] {
            let result = room.execute(query, "").await.result;
            let code = result.map_err(|failure| failure.code);
            assert_eq!(code, Err(ErrorCode::DeviceError), "{query} {body}");
        }
    }
}

#[tokio::test]
async fn a_page_is_not_the_file_that_was_asked_for() {
    let room = Fixture::new(Options::default()).await;
    room.fault("GET", "/rest/", FaultKind::Page);
    for command in [
        "camera/snapshot/near/get",
        "system/logs/get",
        "directory/export",
    ] {
        let failure = room.execute(command, "").await.result.unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceError, "{command}");
        assert!(failure.message.contains("web page"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_directory_query_is_deleted_even_if_a_page_fails() {
    let room = Fixture::new(Options::default()).await;
    room.fault("GET", "/rest/directory/queries", FaultKind::Status(500));
    let executed = room.execute("directory/search", "a").await;
    let failure = executed.result.unwrap_err();
    assert_eq!(failure.status, Some(500));
    let requests = room.requests();
    let methods: Vec<_> = requests
        .iter()
        .filter_map(|request| request.split(' ').next())
        .collect();
    assert_eq!(methods, ["POST", "GET", "DELETE"], "{requests:?}");
}

#[tokio::test]
async fn a_directory_query_is_deleted_even_if_its_pages_take_all_the_time() {
    let room = Fixture::with(Options::default(), |settings| {
        settings.timings = Arc::new(DeviceTimings {
            slow_request_timeout: Duration::from_millis(1500),
            ..DeviceTimings::default()
        });
    })
    .await;
    let late = FaultKind::Delay(Duration::from_secs(30));
    room.fault("GET", "/rest/directory/queries", late);
    let failure = room.execute("directory/search", "a").await.result;
    assert_eq!(failure.unwrap_err().code, ErrorCode::Timeout);
    let requests = room.requests();
    let deleted = |request: &String| request.starts_with("DELETE /rest/directory/queries/");
    assert!(requests.iter().any(deleted), "{requests:?}");
}

#[tokio::test]
async fn presets_are_read_before_one_is_used() {
    let room = Fixture::new(Options {
        zero_based_presets: true,
        ..Options::default()
    })
    .await;
    room.execute("camera/preset/3/activate", "").await;
    let requests = room.requests();
    assert!(
        requests[0].starts_with("GET /rest/cameras/"),
        "{requests:?}"
    );
    let preset = requests[1].split('/').any(|level| level == "2");
    assert!(preset, "{requests:?}");
}

/// Otherwise the command would be about the preset beside the one that is meant.
#[tokio::test]
async fn a_preset_is_not_used_while_it_is_unknown_how_the_device_counts_them() {
    let room = Fixture::new(Options {
        zero_based_presets: true,
        ..Options::default()
    })
    .await;
    let presets = "/rest/cameras/near/presets/all";
    for (kind, words) in [
        (FaultKind::Null, "empty or null"),
        (FaultKind::Body(r#"[{"index":"x"}]"#.into()), "lacks"),
        (FaultKind::Status(500), "answered 500"),
    ] {
        room.simulated.clear_faults();
        room.simulated.clear_journal();
        room.fault("GET", presets, kind.clone());
        let executed = room.execute("camera/preset/3/store", "").await;
        let failure = executed.result.unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceError, "{kind:?}");
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(failure.message.contains("preset_offset"), "{kind:?}");
        assert_eq!(room.requests(), [format!("GET {presets}")], "{kind:?}");
    }
}

#[tokio::test]
async fn a_command_without_an_answer_is_told_from_a_device_that_cannot_be_used() {
    let room = Fixture::new(Options::default()).await;
    room.fault("POST", "/rest/conferences", FaultKind::DropAfter);
    let executed = room.execute("call/dial", "someone").await;
    let failure = executed.result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::OutcomeUnknown);
    assert!(executed.problem.is_none() && !executed.unanswered);
    room.simulated.stop().await;
    let executed = room.execute("audio/volume/set", "42").await;
    assert_eq!(executed.result.unwrap_err().code, ErrorCode::Offline);
    assert!(executed.problem.is_some());
}

/// Its address accepts connections and says nothing, as one behind a router that drops what is sent.
#[tokio::test]
async fn a_device_that_is_not_there_is_offline_and_nothing_was_sent() {
    let room = Fixture::with(Options::default(), |settings| settings.keep_alive = false).await;
    room.simulated.stop().await;
    let address = room.simulated.addr();
    let _silent = TcpListener::bind(address).await.unwrap();
    let executed = room.execute("audio/dtmf/play", "1").await;
    let code = executed.result.map_err(|failure| failure.code);
    assert_eq!(code, Err(ErrorCode::Offline));
}

#[tokio::test]
async fn a_stored_state_is_answered_without_a_request() {
    let room = Fixture::new(Options::default()).await;
    let executed = room.execute("session/get", "").await;
    let failure = executed.result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NotFound);
    let session = json!({"user": "admin"});
    let stored = Some(session.clone());
    let executed = room.execute_with("session/get", "", stored).await;
    assert_eq!(executed.result, Ok(Success::new(200, session)));
    assert!(room.requests().is_empty());
}

#[test]
fn a_spelling_is_missing_only_if_nothing_was_carried_out() {
    let command = |topic: &str| CATALOGUE.pattern(topic).unwrap().command();
    let failure = |status: u16, message: &str| {
        Failure::new(ErrorCode::DeviceError, message).with_status(status)
    };
    let reboot = command("system/reboot");
    for (status, message, missing) in [
        (404, "", true),
        (405, "", true),
        (501, "", true),
        (400, "the device answered 400: unknown field action", true),
        (400, "the device answered 400: Invalid Action", true),
        (400, "the device answered 400: Request not recognized", true),
        (
            400,
            "the device answered 400: restart is not supported",
            true,
        ),
        (400, "the device answered 400: no", false),
        (400, "the device answered 400", false),
        (500, "the device answered 500: unknown action", false),
        (503, "", false),
        (403, "", false),
        (200, "the device did not carry it out: action", false),
    ] {
        let failure = failure(status, message);
        assert_eq!(
            lacks_spelling(&failure, reboot),
            missing,
            "{status} {message}"
        );
    }
    assert!(!lacks_spelling(
        &Failure::new(ErrorCode::Timeout, "the action took too long"),
        reboot
    ));
    let saving = command("collaboration/content/saving/set");
    assert!(!lacks_spelling(&failure(400, "unknown action"), saving));
}
