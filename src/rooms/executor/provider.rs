//! Switching to another provider: sends the request, and waits until the device says that it is active.
//!
//! A switch takes minutes. Meanwhile the device may answer 503, or nothing, or end the session: that says
//! nothing about the switch. Only the mode does, which is read until it names the wanted provider or the
//! command's time is over.

use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Executor, accepted_body, lacks_spelling};
use crate::catalogue::{
    CATALOGUE, Call, Operation, PROVIDERS, Params, Providers, Request, SYSTEM_MODE, TimeLimit,
    Variant, switch_accepted,
};
use crate::command::{ErrorCode, Failure, Success};
use crate::device::{Device, RequestError};
use crate::rooms::reading::{LARGEST_JSON_ANSWER, ReadOutcome};

/// The wait between two reads of the mode: a person who waits for the switch hears of it soon, and the
/// device has little to answer while it is busy.
const MODE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How far the request to switch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SwitchRequest {
    /// The device has not answered it.
    Sent,
    /// The device accepted it.
    Accepted,
    /// The device's answer was lost.
    AnswerLost,
}

/// What a read of the mode says.
enum ModeRead {
    Value(Value),
    /// The device does not tell it.
    Unsupported,
    /// Nothing, for the moment.
    Unknown,
}

impl Executor<'_> {
    /// Switches to the provider that the command names. The result says how it ended.
    pub(super) async fn switch_provider(&mut self, call: &Call) -> Result<Success, Failure> {
        let providers = Providers::of(&self.read_state(PROVIDERS, &Params::new()).await?);
        let wanted = call.values.get("provider").and_then(Value::as_str);
        let wanted = providers.find(wanted.unwrap_or_default())?;
        let call = call.clone().with("provider", json!([wanted.name]));
        let reads = CATALOGUE
            .reader(SYSTEM_MODE)
            .map(|(operation, _)| operation);
        let reads = reads.map(|first| self.environment.spellings.of_read(first));
        let reads = reads.unwrap_or_default();
        self.sent = true;
        let (device, deadline) = (self.device, self.deadline);
        let began = Instant::now();
        let mut request = SwitchRequest::Sent;
        let spellings = self.environment.spellings.of_command(&call);
        let mut sending = pin!(send_switch(device, &call, &spellings, deadline));
        let mut active = None;
        loop {
            let next = Instant::now() + MODE_CHECK_INTERVAL;
            tokio::select! {
                biased;
                sent = &mut sending, if request == SwitchRequest::Sent => {
                    let (index, sent) = sent?;
                    request = self.switch_answered(sent)?;
                    if request == SwitchRequest::Accepted {
                        self.note_spelling(&call, index);
                    }
                }
                () = sleep_until(next.min(deadline)) => {}
            }
            let success = || Success::new(200, json!({"provider": wanted.name}));
            match read_mode(device, &reads, deadline).await {
                ModeRead::Value(mode) => {
                    active = providers.active(&mode);
                    if active == Some(wanted) {
                        return Ok(success());
                    }
                }
                ModeRead::Unsupported if request == SwitchRequest::Accepted => {
                    let mut success = success();
                    let warning = "the device accepted this; when it ends cannot be read";
                    success.warning = Some(warning.into());
                    return Ok(success);
                }
                ModeRead::Unsupported | ModeRead::Unknown => {}
            }
            if Instant::now() >= deadline {
                let active = active.map(|active| active.name.as_str());
                return Err(not_switched(request, &wanted.name, active, began.elapsed()));
            }
        }
    }

    /// What the answer to the request means. A lost answer is no failure: the mode will tell.
    fn switch_answered(
        &mut self,
        sent: Result<Value, RequestError>,
    ) -> Result<SwitchRequest, Failure> {
        match sent {
            Ok(answer) => {
                switch_accepted(&answer)?;
                Ok(SwitchRequest::Accepted)
            }
            Err(RequestError::TimedOut { sent: true } | RequestError::Broken(_)) => {
                Ok(SwitchRequest::AnswerLost)
            }
            Err(error) => Err(self.fail_command(error, false)),
        }
    }
}

/// Sends the request, in the first of these spellings that the device has: the next one only after an answer that
/// says that nothing was carried out. Gives its index, and the device's answer.
async fn send_switch(
    device: &Device,
    call: &Call,
    spellings: &[(usize, &'static Variant)],
    deadline: Instant,
) -> Result<(usize, Result<Value, RequestError>), Failure> {
    let mut missing = None;
    for (index, variant) in spellings {
        let request = call.request_spelled(variant, 0)?;
        let sent = device.send(&request, LARGEST_JSON_ANSWER, deadline).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Ok((*index, Err(error))),
        };
        match accepted_body(&response, variant.operation, &variant.command) {
            Ok(answer) => return Ok((*index, Ok(answer))),
            Err(failure) if lacks_spelling(&failure, &variant.command) => {
                missing.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    let fixed = || Failure::new(ErrorCode::Unsupported, "the device's provider is fixed");
    Err(missing.unwrap_or_else(fixed))
}

/// Reads the mode once, in one of these spellings. No failure counts: the device is busy.
async fn read_mode(
    device: &Device,
    spellings: &[&'static Operation],
    deadline: Instant,
) -> ModeRead {
    let deadline = device.deadline(TimeLimit::Ordinary).min(deadline);
    for operation in spellings {
        let Ok(request) = Request::read(operation, &Params::new(), &[]) else {
            continue;
        };
        let sent = device.send(&request, LARGEST_JSON_ANSWER, deadline);
        let Ok(response) = sent.await else {
            return ModeRead::Unknown;
        };
        match ReadOutcome::of(operation, &response) {
            ReadOutcome::Value(mode) => return ModeRead::Value(mode),
            ReadOutcome::Unsupported(_) => {}
            ReadOutcome::Absent | ReadOutcome::Failed(_) => return ModeRead::Unknown,
        }
    }
    ModeRead::Unsupported
}

/// The failure when the time is over.
fn not_switched(
    request: SwitchRequest,
    wanted: &str,
    active: Option<&str>,
    after: Duration,
) -> Failure {
    let seconds = after.as_secs();
    let now = match active {
        Some(active) => format!("{active} was still active after {seconds} s"),
        None => format!("in {seconds} s it has not said which provider is active"),
    };
    match request {
        SwitchRequest::Accepted => Failure::new(
            ErrorCode::Timeout,
            format!("the device accepted the switch to {wanted}, but {now}"),
        ),
        SwitchRequest::Sent | SwitchRequest::AnswerLost => Failure::new(
            ErrorCode::OutcomeUnknown,
            format!("the device did not answer the switch to {wanted}, and {now}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_time_is_told_as_it_is() {
        let after = Duration::from_secs(210);
        for (request, active, code, message) in [
            (
                SwitchRequest::Accepted,
                Some("Poly"),
                ErrorCode::Timeout,
                "the device accepted the switch to Teams, but Poly was still active after 210 s",
            ),
            (
                SwitchRequest::Accepted,
                None,
                ErrorCode::Timeout,
                "the device accepted the switch to Teams, but in 210 s it has not said which \
                 provider is active",
            ),
            (
                SwitchRequest::AnswerLost,
                Some("Poly"),
                ErrorCode::OutcomeUnknown,
                "the device did not answer the switch to Teams, and Poly was still active after \
                 210 s",
            ),
        ] {
            let failure = not_switched(request, "Teams", active, after);
            assert_eq!((failure.code, failure.message.as_str()), (code, message));
        }
    }
}
