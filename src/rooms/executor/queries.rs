//! Commands that ask for a state, or search the directory.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Executor;
use crate::catalogue::{
    CATALOGUE, Call, Operation, Params, SETTING, Search, StateTopic, TimeLimit,
};
use crate::command::{ErrorCode, Failure, Success};
use crate::rooms::reading::ReadOutcome;
use crate::topics::encode_level;

/// The wait between two requests for a page of a directory query that the device still prepares:
/// short for a person who searches, and no load for the device.
const SEARCH_PAGE_WAIT: Duration = Duration::from_millis(250);

/// The value of a state that the device has, but which is empty at the moment.
const NONE: &str = "none";

/// The read that gives a state.
fn reader(state: StateTopic) -> Result<&'static Operation, Failure> {
    let reader = CATALOGUE.reader(state).map(|(operation, _)| operation);
    let message = || format!("{state} cannot be read from the device");
    reader.ok_or_else(|| Failure::new(ErrorCode::Unsupported, message()))
}

impl Executor<'_> {
    /// A state's value, read from the device now; null if there is none.
    ///
    /// # Errors
    /// The value is not known: the device lacks it, could not say, or answered null.
    pub(super) async fn read_state(
        &mut self,
        state: StateTopic,
        params: &Params,
    ) -> Result<Value, Failure> {
        let operation = reader(state)?;
        self.read(operation, params, |this, reading| {
            reading.value_of(state, &this.environment.context)
        })
        .await?
    }

    /// Like [`Self::read_state`], but an answer that is not quite a Poly device's says nothing.
    pub(super) async fn read_state_for_sure(
        &mut self,
        state: StateTopic,
    ) -> Result<Value, Failure> {
        let operation = reader(state)?;
        self.read(operation, &Params::new(), |this, reading| {
            let value = reading.value_of(state, &this.environment.context);
            reading.trouble().map_or(value, Err)
        })
        .await?
    }

    /// Answers `<state>/get`.
    pub(super) async fn query_state(
        &mut self,
        state: StateTopic,
        call: &Call,
    ) -> Result<Success, Failure> {
        if let Some(name) = call.param("name") {
            return self.query_part(state, name, call).await;
        }
        let value = match self.read_state(state, &call.params).await? {
            Value::Null if self.last_was_absent => NONE.into(),
            value => value,
        };
        Ok(Success::new(200, value))
    }

    /// Answers `<state>/<name>/get`, where the device gives the names.
    async fn query_part(
        &mut self,
        state: StateTopic,
        name: &str,
        call: &Call,
    ) -> Result<Success, Failure> {
        let operation = call.variant().operation;
        let topic = format!("{state}/{}", encode_level(name));
        let settings = &self.environment.setting_names;
        if state == SETTING && !settings.iter().any(|kept| kept == name) {
            let message =
                format!("{name} is not among the room's settings; config/get reads any setting");
            return Err(Failure::new(ErrorCode::NotFound, message));
        }
        self.read(operation, &Params::new(), |this, reading| {
            if let Some(trouble) = reading.no_answer() {
                return Err(trouble);
            }
            let ReadOutcome::Value(answer) = &reading.outcome else {
                return Ok(Success::new(200, NONE.into()));
            };
            let states = reading.operation.states.iter();
            states
                .flat_map(|known| known.values(answer, &this.environment.context))
                .find_map(|(known, value)| value.filter(|_| known == topic))
                .map(|value| Success::new(200, value.into_owned()))
                .ok_or_else(|| {
                    let secret = match state {
                        SETTING => ", or keeps its value secret",
                        _ => "",
                    };
                    let message = format!("the device has no {topic}{secret}");
                    Failure::new(ErrorCode::NotFound, message)
                })
        })
        .await?
    }

    /// Answers with the value that was published last.
    pub(super) fn stored_state(&self, state: StateTopic) -> Result<Success, Failure> {
        let value = self.environment.stored.clone();
        value
            .map(|value| Success::new(200, value))
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, format!("{state} is not known yet")))
    }

    /// Creates a directory query, pages through it and deletes it, even if a page fails: a device
    /// holds few queries at a time.
    pub(super) async fn search_directory(&mut self, call: &Call) -> Result<Success, Failure> {
        let created = self.request(&Search::create(call)?).await?;
        let mut search = Search::begin(call, &created.body)?;
        let paged = self.take_pages(&mut search).await;
        // Also where the pages have taken all the time.
        let to_delete = self.device.deadline(TimeLimit::Ordinary);
        self.deadline = self.deadline.max(to_delete);
        let deleted = self.request(&search.delete()?).await;
        if let Err(failure) = deleted {
            tracing::debug!(reason = failure.message, "directory query not deleted");
        }
        paged?;
        Ok(Success::new(200, search.found()))
    }

    async fn take_pages(&mut self, search: &mut Search) -> Result<(), Failure> {
        while let Some(page) = search.page()? {
            let answer = self.request(&page).await?;
            if answer.status != 204 {
                search.take(answer.body)?;
                continue;
            }
            // The device still prepares the page.
            if Instant::now() + SEARCH_PAGE_WAIT >= self.deadline {
                return Err(Failure::new(
                    ErrorCode::Timeout,
                    "the directory query was not ready in time",
                ));
            }
            sleep(SEARCH_PAGE_WAIT).await;
        }
        Ok(())
    }
}
