//! Which of the catalogue's reads a device does not answer, for `poly2mqtt check --connect`.
//!
//! Sends each read once, as a room does after its log-in. Publishes nothing and remembers nothing.

use super::reading::{LARGEST_JSON_ANSWER, ReadOutcome};
use crate::catalogue::{CATALOGUE, Operation, ReadBody, Request, TimeLimit, When, operations};
use crate::device::{Device, RequestError};

/// After this many reads without any answer the others are not tried: each costs ten seconds.
const MOST_UNANSWERED: u32 = 2;

/// A read that brings no states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingRead {
    /// Its path at the device.
    pub path: &'static str,
    /// The states that it would bring.
    pub states: Vec<String>,
    /// Why it brings none now; `None`: the device lacks it.
    pub why: Option<String>,
}

/// Every read that the device lacks or does not answer. `setting_names`: the room's names of the device's own
/// configuration.
pub async fn lacking_reads(device: &Device, setting_names: &[String]) -> Vec<LackingRead> {
    let mut lacking = Vec::new();
    let mut unanswered = 0;
    for operation in operations().filter(|operation| is_tried(operation, setting_names)) {
        let mut read = read(device, operation, setting_names).await;
        if read == Read::Lacking
            && let Some(fallback) = CATALOGUE.fallback_of(operation)
        {
            read = self::read(device, fallback, setting_names).await;
        }
        let why = match read {
            Read::Answered => continue,
            Read::Lacking => None,
            Read::Failed(why) => Some(why),
            Read::Unanswered(why) => {
                unanswered += 1;
                Some(why)
            }
        };
        lacking.push(LackingRead {
            path: operation.path,
            states: operation
                .states
                .iter()
                .map(|state| state.pattern())
                .collect(),
            why,
        });
        if unanswered >= MOST_UNANSWERED {
            break;
        }
    }
    lacking
}

/// Whether a room reads it whatever happens: outside of calls, too, and whatever is configured.
fn is_tried(operation: &Operation, setting_names: &[String]) -> bool {
    let is_always = matches!(
        operation.poll,
        Some((_, When::Always | When::AfterCall | When::AroundCalls))
    );
    let is_wanted = operation.read != Some(ReadBody::SettingNames) || !setting_names.is_empty();
    let is_own = operation.fallback_for.is_none() && !operation.is_gateways_own();
    is_always && operation.reads() && is_wanted && is_own && !operation.path.contains('{')
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Answered,
    Lacking,
    Failed(String),
    Unanswered(String),
}

async fn read(device: &Device, operation: &'static Operation, setting_names: &[String]) -> Read {
    let request = match Request::read(operation, &Vec::new(), setting_names) {
        Ok(request) => request,
        Err(failure) => return Read::Failed(failure.message),
    };
    let deadline = device.deadline(TimeLimit::Ordinary);
    match device.send(&request, LARGEST_JSON_ANSWER, deadline).await {
        Ok(response) => match ReadOutcome::of(operation, &response) {
            ReadOutcome::Value(_) | ReadOutcome::Absent => Read::Answered,
            ReadOutcome::Unsupported(_) => Read::Lacking,
            ReadOutcome::Failed(failure) => Read::Failed(failure.message),
        },
        Err(
            error @ (RequestError::Problem(_)
            | RequestError::TimedOut { .. }
            | RequestError::Broken(_)),
        ) => Read::Unanswered(error.to_string()),
        Err(error) => Read::Failed(error.to_string()),
    }
}
