//! What one member of etcd says of itself: `POST /v3/maintenance/status`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::refusal::{EtcdRefusal, NOT_ETCD, refusal};
use super::{CALL_TIMEOUT, Etcd, takes_no_token};
use crate::cluster::registry::RegistryError;
use crate::visible::without_invisible;

/// How much of one of its texts is shown.
const LONGEST_TEXT: usize = 80;

/// A member of etcd, as it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdStatus {
    /// The version of its program.
    pub version: String,
    /// The id of its cluster.
    pub cluster: u64,
    /// It leads.
    pub is_leader: bool,
    /// It knows who leads.
    pub has_leader: bool,
    /// The number of the election that made the leader.
    pub raft_term: u64,
    /// The size of its database in bytes.
    pub database_bytes: u64,
    /// What it says is wrong, such as a database that is full.
    pub errors: Vec<String>,
    /// How long the answer took.
    pub took: Duration,
}

impl Etcd {
    /// Asks the first endpoint how it is; a client of one endpoint asks that one.
    ///
    /// # Errors
    /// It cannot be reached, does not answer in time, or refuses.
    pub async fn status(&self) -> Result<EtcdStatus, RegistryError> {
        match self.try_status().await {
            // Versions that protect this call too.
            Err(EtcdRefusal::Token) => {
                let deadline = Instant::now() + CALL_TIMEOUT;
                self.log_in(self.token().as_ref(), deadline).await?;
                self.try_status().await.map_err(refused)
            }
            status => status.map_err(refused),
        }
    }

    async fn try_status(&self) -> Result<EtcdStatus, EtcdRefusal> {
        let started = Instant::now();
        let body = Bytes::from_static(b"{}");
        let posted = self.post(
            "/v3/maintenance/status",
            &body,
            self.token(),
            started + CALL_TIMEOUT,
        );
        let posted = timeout_at(started + CALL_TIMEOUT, posted).await;
        let late = || RegistryError::Unreachable("etcd does not answer in time".into());
        let (code, answer) = posted
            .unwrap_or_else(|_| Err(late()))
            .map_err(EtcdRefusal::Final)?;
        status_in(code, &answer, started.elapsed())
    }
}

/// The status in etcd's answer to this question.
pub fn status_in(
    code: StatusCode,
    answer: &[u8],
    took: Duration,
) -> Result<EtcdStatus, EtcdRefusal> {
    if code != StatusCode::OK {
        return Err(refusal(code, answer));
    }
    read(answer, took).ok_or_else(|| EtcdRefusal::Final(RegistryError::Refused(NOT_ETCD.into())))
}

/// What the caller is told of a refusal after a log-in.
pub fn refused(refusal: EtcdRefusal) -> RegistryError {
    match refusal {
        EtcdRefusal::Token => takes_no_token(),
        // Some versions answer this call only to root. The member is there all the same.
        EtcdRefusal::Rights => {
            RegistryError::Refused("etcd does not tell this user how it is".into())
        }
        EtcdRefusal::Final(error) => error,
    }
}

fn read(answer: &[u8], took: Duration) -> Option<EtcdStatus> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let header = answer.get("header")?;
    let leader = number(&answer, "leader");
    let errors = answer.get("errors").and_then(Value::as_array);
    let errors = errors.into_iter().flatten().filter_map(Value::as_str);
    let shown = |text: &str| without_invisible(text, LONGEST_TEXT);
    Some(EtcdStatus {
        version: shown(answer.get("version")?.as_str()?),
        cluster: number(header, "cluster_id"),
        is_leader: leader != 0 && leader == number(header, "member_id"),
        has_leader: leader != 0,
        raft_term: number(&answer, "raftTerm"),
        database_bytes: number(&answer, "dbSize"),
        errors: errors.map(shown).collect(),
        took,
    })
}

/// Whole numbers of 64 bits are strings, and zeros are left out.
fn number(object: &Value, field: &str) -> u64 {
    match object.get(field) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(other) => other.as_u64().unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As etcd 3.4.23 answers.
    #[test]
    fn a_status_is_read() {
        let text = r#"{"header":{"cluster_id":"3","member_id":"7","revision":"2","raft_term":"4"},
            "version":"3.4.23","dbSize":"20480","leader":"7","raftIndex":"9","raftTerm":"4"}"#;
        let status = read(text.as_bytes(), Duration::ZERO).unwrap();
        assert_eq!((&*status.version, status.cluster), ("3.4.23", 3));
        assert!(status.is_leader && status.has_leader && status.errors.is_empty());
        assert_eq!((status.raft_term, status.database_bytes), (4, 20_480));
        let other = text.replace(r#""leader":"7""#, r#""leader":"8","errors":["NOSPACE"]"#);
        let status = read(other.as_bytes(), Duration::ZERO).unwrap();
        assert!(!status.is_leader && status.has_leader);
        assert_eq!(status.errors, ["NOSPACE"]);
        let odd = text.replace("3.4.23", "3.4\u{202e}.23\u{2028}");
        let status = read(odd.as_bytes(), Duration::ZERO).unwrap();
        assert_eq!(status.version, "3.4.23");
        let none = text.replace(r#""leader":"7","#, "");
        assert!(!read(none.as_bytes(), Duration::ZERO).unwrap().has_leader);
        for wrong in ["", "{}", "[]", r#"{"header":{}}"#] {
            assert_eq!(read(wrong.as_bytes(), Duration::ZERO), None, "{wrong}");
        }
    }
}
