//! `GET /gateway/log`: the newest lines of the gateway's log and the events of the rooms.
//!
//! A token that is limited to rooms gets the entries of these rooms and nothing else: a line about the gateway
//! may name any room.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use tokio::task::yield_now;
use tracing::Level;
use url::form_urlencoded;

use super::authorization::Authorized;
use super::{HttpState, response};
use crate::command::ErrorCode;
use crate::telemetry::LogQuery;

/// How many entries there are in an answer that is not limited.
const DEFAULT_LIMIT: usize = 500;
/// The most: half a megabyte.
const MOST_ENTRIES: usize = 2000;
/// While an answer is written, others run after this many entries: half a millisecond.
const ENTRIES_AT_ONCE: usize = 100;

/// The entries that `level`, `room`, `text`, `after` (an `id`) and `limit` of the query ask for, the oldest
/// first.
pub async fn log(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let query = match parse(&pairs) {
        Ok(query) => query,
        Err(message) => {
            return response::error_code(ErrorCode::InvalidPayload, &message);
        }
    };
    let log = state.clients.telemetry.log();
    let entries = log.read(&query, |room| grant.sees_log_of(room));
    let mut body = format!("{{\"since\":{},\"entries\":[", json!(log.since()));
    for (n, entries) in entries.chunks(ENTRIES_AT_ONCE).enumerate() {
        if n > 0 {
            body.push(',');
            yield_now().await;
        }
        let texts: Vec<String> = entries
            .iter()
            .map(|entry| entry.json().to_string())
            .collect();
        body.push_str(&texts.join(","));
    }
    body.push_str("]}");
    response::text("application/json", body)
}

/// # Errors
/// What a parameter takes, for the user.
fn parse(pairs: &[(String, String)]) -> Result<LogQuery<'_>, String> {
    let mut query = LogQuery {
        level: Level::INFO,
        limit: DEFAULT_LIMIT,
        ..LogQuery::ALL
    };
    for (name, value) in pairs {
        match name.as_str() {
            "room" => query.room = value,
            "text" => query.text = value,
            "level" => {
                query.level = level(value).ok_or_else(|| {
                    format!("level takes error, warn or info, not \"{value:.40}\"")
                })?;
            }
            "after" => {
                query.after = value
                    .parse()
                    .map_err(|_| format!("after takes the id of an entry, not \"{value:.40}\""))?;
            }
            "limit" => {
                let limit = value.parse().ok();
                let limit = limit.filter(|limit| (1..=MOST_ENTRIES).contains(limit));
                query.limit = limit.ok_or_else(|| {
                    format!("limit takes an integer from 1 to {MOST_ENTRIES}, not \"{value:.40}\"")
                })?;
            }
            "token" => {}
            other => {
                return Err(format!(
                    "the log takes level, room, text, after and limit, not \"{other:.40}\""
                ));
            }
        }
    }
    Ok(query)
}

fn level(name: &str) -> Option<Level> {
    match name {
        "error" => Some(Level::ERROR),
        "warn" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_are_not_understood_are_refused() {
        let given = |query: &str| -> Result<(), String> {
            let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            parse(&pairs).map(|_| ())
        };
        for right in [
            "",
            "level=warn&room=1&text=%F0%9F%98%80&after=5&limit=2000&token=x",
            "limit=1",
        ] {
            assert_eq!(given(right), Ok(()), "{right}");
        }
        for wrong in [
            "level=loud",
            "level=debug",
            "after=x",
            "after=1.5",
            "limit=0",
            "limit=2001",
            "limit=-1",
            "rooms=1",
        ] {
            let (name, _) = wrong.split_once('=').unwrap();
            assert!(given(wrong).unwrap_err().contains(name), "{wrong}");
        }
    }
}
