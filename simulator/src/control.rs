//! The control port: plain HTTP to act as people in the room, and to switch faults on.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Condition, Fault, FaultKind, SimulatedDevice};

const HELP: &str = "\
GET  /firmwares                          what each firmware has and lacks

Simulated Poly devices, numbered from 1. For device 1:

GET  /1/state                            everything about the room
GET  /1/journal                          the newest requests that reached it
POST /1/mute?on=true                     a person mutes, or unmutes
POST /1/ring?from=alice@example.com      somebody calls
POST /1/answer                           a person in the room answers
POST /1/hangup                           a person in the room hangs up
POST /1/mode?name=Teams                  another provider runs; Poly goes back
POST /1/meeting?in=Teams&on=true         a meeting of Teams or Zoom begins, or ends
POST /1/condition?is=asleep&on=true      asleep, log_full, no_microphones, no_cameras, registrations_down,
                                         calendar_offline, panel_lost, panel_unpaired, lan_slow,
                                         time_server_down, reboot_needed or provider_switch_fails
POST /1/expire_sessions                  every log-in is stale
POST /1/password?is=secret               an administrator sets another password
POST /1/others?on=true                   others take every session that is left, or go away
POST /1/reboot?seconds=5                 the device restarts
POST /1/limit?requests=8&seconds=10      more requests in this time are answered with 429; 0 for no limit
POST /1/new_certificate                  it shows another certificate
POST /1/fault   {\"path\":\"/rest/audio\",\"kind\":\"status\",\"value\":500,\"times\":1,\"method\":\"GET\"}
                kind: delay (value in ms), status (value), retry_after (429, text), page, redirect,
                drop_before, drop_after, garbage, truncated, huge (value in bytes), null, body (text), expire_session;
                without times for ever
DELETE /1/fault                          nothing goes wrong any more
";

type Params = Query<HashMap<String, String>>;

/// Serves until it is shut down.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    devices: Vec<SimulatedDevice>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { HELP }))
        .route("/firmwares", get(|| async { super::profile::describe() }))
        .route("/{number}/state", get(state))
        .route("/{number}/journal", get(journal))
        .route("/{number}/fault", post(fault).delete(no_faults))
        .route("/{number}/{action}", post(act))
        .fallback(|| async { (StatusCode::NOT_FOUND, HELP) })
        .with_state(devices);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

type Refusal = (StatusCode, String);

fn device(devices: &[SimulatedDevice], number: usize) -> Result<&SimulatedDevice, Refusal> {
    let found = number.checked_sub(1).and_then(|place| devices.get(place));
    found.ok_or_else(|| {
        let message = format!(
            "there is no device {number}; they are 1 to {}\n",
            devices.len()
        );
        (StatusCode::NOT_FOUND, message)
    })
}

async fn state(
    State(devices): State<Vec<SimulatedDevice>>,
    Path(number): Path<usize>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(device(&devices, number)?.state()))
}

async fn journal(
    State(devices): State<Vec<SimulatedDevice>>,
    Path(number): Path<usize>,
) -> Result<Json<Value>, Refusal> {
    let entries = device(&devices, number)?.journal();
    let shown = entries.iter().map(|entry| {
        // These bodies hold passwords and are not shown.
        let secret = entry.path == "/rest/session" || entry.path.starts_with("/rest/security/");
        let body = String::from_utf8_lossy(&entry.body).into_owned();
        json!({
            "method": entry.method,
            "path": entry.path,
            "query": entry.query,
            "body": if secret { String::new() } else { body },
            "status": entry.status,
        })
    });
    Ok(Json(shown.collect()))
}

async fn act(
    State(devices): State<Vec<SimulatedDevice>>,
    Path((number, action)): Path<(usize, String)>,
    Query(params): Params,
) -> Result<Response, Refusal> {
    let device = device(&devices, number)?;
    let bad = |message: &str| (StatusCode::BAD_REQUEST, format!("{message}\n"));
    let param = |name: &str| params.get(name).map(String::as_str);
    let on = || match param("on") {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(bad("on is true or false")),
    };
    match action.as_str() {
        "mute" => device.person_mutes(on()?),
        "others" => device.others_log_in(on()?),
        "password" => device.person_sets_password(param("is").ok_or_else(|| bad("is is missing"))?),
        "ring" => {
            let id = device.person_calls_in(param("from").unwrap_or("alice@example.com"));
            return Ok(Json(json!({"connection": id})).into_response());
        }
        "answer" => device.person_answers(),
        "hangup" => device.person_hangs_up(),
        "mode" => device.person_sets_mode(param("name").ok_or_else(|| bad("name is missing"))?),
        "meeting" => {
            if !device.person_meets(param("in").unwrap_or("Teams"), on()?) {
                return Err(bad("in is Teams or Zoom"));
            }
        }
        "condition" => {
            let condition = param("is").and_then(Condition::named);
            device.set_condition(
                condition.ok_or_else(|| bad("is names no condition"))?,
                on()?,
            );
        }
        "expire_sessions" => device.expire_sessions(),
        "reboot" => {
            let seconds = param("seconds").unwrap_or("5").parse();
            let seconds = seconds.map_err(|_| bad("seconds is a number"))?;
            device.reboot(Duration::from_secs(seconds));
        }
        "limit" => {
            let number = |name| param(name).and_then(|text| text.parse::<u32>().ok());
            let numbers = number("requests").zip(number("seconds"));
            let (requests, seconds) =
                numbers.ok_or_else(|| bad("requests and seconds are numbers"))?;
            device.limit_requests(requests, Duration::from_secs(seconds.into()));
        }
        "new_certificate" => device
            .new_certificate()
            .map_err(|error| bad(&error.to_string()))?,
        _ => return Err((StatusCode::NOT_FOUND, HELP.to_owned())),
    }
    Ok("done\n".into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    path: String,
    kind: String,
    method: Option<String>,
    times: Option<u32>,
    value: Option<u64>,
    text: Option<String>,
}

async fn fault(
    State(devices): State<Vec<SimulatedDevice>>,
    Path(number): Path<usize>,
    body: String,
) -> Result<&'static str, Refusal> {
    let device = device(&devices, number)?;
    let bad = |message: String| (StatusCode::BAD_REQUEST, format!("{message}\n\n{HELP}"));
    let request: FaultRequest =
        serde_json::from_str(&body).map_err(|error| bad(error.to_string()))?;
    let value = || request.value.ok_or_else(|| bad("value is missing".into()));
    let kind = match request.kind.as_str() {
        "delay" => FaultKind::Delay(Duration::from_millis(value()?)),
        "status" => match u16::try_from(value()?) {
            Ok(status @ 200..=599) => FaultKind::Status(status),
            _ => return Err(bad("status is from 200 to 599".into())),
        },
        "retry_after" => FaultKind::RetryAfter(429, request.text.unwrap_or_else(|| "5".into())),
        "huge" => FaultKind::Huge(usize::try_from(value()?.min(1 << 30)).unwrap_or(1 << 30)),
        "drop_before" => FaultKind::DropBefore,
        "drop_after" => FaultKind::DropAfter,
        "garbage" => FaultKind::Garbage,
        "truncated" => FaultKind::Truncated,
        "null" => FaultKind::Null,
        "page" => FaultKind::Page,
        "redirect" => FaultKind::Redirect,
        "body" => FaultKind::Body(request.text.ok_or_else(|| bad("text is missing".into()))?),
        "expire_session" => FaultKind::ExpireSession,
        other => return Err(bad(format!("there is no fault \"{other}\""))),
    };
    device.add_fault(Fault {
        method: request.method,
        path: request.path,
        after: 0,
        times: request.times,
        kind,
    });
    Ok("done\n")
}

async fn no_faults(
    State(devices): State<Vec<SimulatedDevice>>,
    Path(number): Path<usize>,
) -> Result<&'static str, Refusal> {
    device(&devices, number)?.clear_faults();
    Ok("done\n")
}
