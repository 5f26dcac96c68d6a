//! Paging through the answer of a directory query.
//!
//! Pure: gives the next request and collects the answers; the room sends the requests.

use serde_json::{Value, json};

use super::areas::directory::commands::{CREATE_QUERY, DELETE_QUERY, GET_QUERY};
use super::call::Call;
use super::quirks::text;
use crate::command::{ErrorCode, Failure};

/// Entries of a page. Known drivers ask for up to 100.
const PAGE_SIZE: usize = 50;
/// Entries that a search returns by default: four pages.
const DEFAULT_LIMIT: usize = 200;

/// A search in progress.
#[derive(Debug)]
pub struct Search {
    query: String,
    limit: usize,
    entries: Vec<Value>,
    complete: bool,
}

impl Search {
    /// The request that creates the query of a `directory/search`.
    ///
    /// # Errors
    /// The catalogue has no such command.
    pub fn create(call: &Call) -> Result<Call, Failure> {
        let mut create = Call::to(CREATE_QUERY, Vec::new())?;
        create.values = call.values.clone();
        Ok(create)
    }

    /// A search with the query that the device created.
    ///
    /// # Errors
    /// The device gave no query id.
    pub fn begin(call: &Call, answer: &Value) -> Result<Self, Failure> {
        let id = text(&answer["id"]).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| {
            Failure::new(
                ErrorCode::DeviceError,
                "the device gave no id for the directory query",
            )
        })?;
        let limit = call.values.get("limit").and_then(Value::as_u64);
        Ok(Self {
            query: id.to_owned(),
            limit: limit.map_or(DEFAULT_LIMIT, |limit| {
                usize::try_from(limit).unwrap_or(DEFAULT_LIMIT)
            }),
            entries: Vec::new(),
            complete: false,
        })
    }

    /// The request for the next page; `None` if nothing more is wanted.
    ///
    /// # Errors
    /// The catalogue has no such command.
    pub fn page(&self) -> Result<Option<Call>, Failure> {
        if self.complete || self.entries.len() >= self.limit {
            return Ok(None);
        }
        let page = PAGE_SIZE.min(self.limit - self.entries.len());
        let params = vec![("query_id", self.query.clone())];
        let page = Call::to(GET_QUERY, params)?
            .with("start", self.entries.len() + 1)
            .with("limit", page);
        Ok(Some(page))
    }

    /// Takes a page's answer.
    pub fn take(&mut self, answer: Value) {
        let entries = match answer.get("entries") {
            Some(Value::Array(entries)) => entries.clone(),
            Some(entry @ Value::Object(_)) => vec![entry.clone()],
            _ => Vec::new(),
        };
        let next = answer.get("next").is_some_and(|next| !next.is_null());
        self.complete = !next || entries.is_empty();
        self.entries.extend(entries);
    }

    /// The request that frees the query at the device.
    ///
    /// # Errors
    /// The catalogue has no such command.
    pub fn delete(&self) -> Result<Call, Failure> {
        let params = vec![("query_id", self.query.clone())];
        Call::to(DELETE_QUERY, params)
    }

    /// The entries that were found; `complete` is false if the limit cut it off.
    pub fn found(mut self) -> Value {
        let complete = self.complete && self.entries.len() <= self.limit;
        self.entries.truncate(self.limit);
        json!({"entries": self.entries, "complete": complete})
    }
}

#[cfg(test)]
mod tests {
    use super::super::CATALOGUE;
    use super::*;

    #[test]
    fn pages_are_asked_for_until_there_is_no_next() {
        let route = CATALOGUE.pattern("directory/search").unwrap();
        let call = Call::of(route, Vec::new()).with("limit", 3);
        let mut search = Search::begin(&call, &json!({"id": "q"})).unwrap();
        assert_eq!(search.page().unwrap().unwrap().values["limit"], 3);
        search.take(json!({"entries": [1, 2], "next": {"href": "x"}}));
        assert_eq!(search.page().unwrap().unwrap().values["start"], 3);
        search.take(json!({"entries": [3]}));
        assert!(search.page().unwrap().is_none());
        let found = search.found();
        assert_eq!(found, json!({"entries": [1, 2, 3], "complete": true}));
    }
}
