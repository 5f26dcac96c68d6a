//! Paging through the answer of a directory query.
//!
//! Pure: gives the next request and collects the answers; the room sends the requests.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::areas::directory::commands::{CREATE_QUERY, DELETE_QUERY, GET_QUERY};
use super::call::Call;
use super::quirks::{as_list, text};
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
    /// The ids of the entries.
    known: HashSet<String>,
    complete: bool,
}

/// By what an entry is known again: its id, or all of it if it has none.
fn key(entry: &Value) -> String {
    let id = entry.get("id").and_then(text).filter(|id| !id.is_empty());
    let server = entry.get("serverId").and_then(text).unwrap_or_default();
    id.map_or_else(|| entry.to_string(), |id| format!("{server}\n{id}"))
}

/// Whether a member says something: null and an empty text do not.
fn is_said(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
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
            known: HashSet::new(),
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

    /// Takes a page's answer: an object with `entries`, or the list of them. A page that brings nothing new is
    /// the last one: a device that does not know `start` answers with its first page for ever.
    ///
    /// # Errors
    /// `device_error`: it is no page, so nobody knows what the directory has.
    pub fn take(&mut self, answer: Value) -> Result<(), Failure> {
        let has_next = answer.get("next").is_some_and(is_said);
        let page = match answer {
            Value::Object(mut page)
                if page.contains_key("entries") || page.contains_key("next") =>
            {
                as_list(page.shift_remove("entries").unwrap_or_default())
            }
            list @ Value::Array(_) => list,
            _ => {
                let message = "the device's answer is no page of directory entries";
                return Err(Failure::new(ErrorCode::DeviceError, message));
            }
        };
        let before = self.entries.len();
        for entry in page.as_array().into_iter().flatten() {
            let is_new = self.known.insert(key(entry));
            if is_new {
                self.entries.push(entry.clone());
            }
        }
        self.complete = !has_next || self.entries.len() == before;
        Ok(())
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
        let page = json!({"entries": [1, 2], "next": {"href": "x"}});
        search.take(page).unwrap();
        assert_eq!(search.page().unwrap().unwrap().values["start"], 3);
        search.take(json!({"entries": [3]})).unwrap();
        assert!(search.page().unwrap().is_none());
        let found = search.found();
        assert_eq!(found, json!({"entries": [1, 2, 3], "complete": true}));
    }

    fn search() -> Search {
        let route = CATALOGUE.pattern("directory/search").unwrap();
        Search::begin(&Call::of(route, Vec::new()), &json!({"id": "q"})).unwrap()
    }

    #[test]
    fn a_device_that_gives_one_page_for_ever_is_asked_twice() {
        for next in [json!({"href": "x"}), json!("/rest/x")] {
            let mut search = search();
            let page = || json!({"entries": [{"id": "e1"}, {"id": "e2"}], "next": next});
            search.take(page()).unwrap();
            assert!(search.page().unwrap().is_some());
            search.take(page()).unwrap();
            assert!(search.page().unwrap().is_none());
            let found = json!({"entries": [{"id": "e1"}, {"id": "e2"}], "complete": true});
            assert_eq!(search.found(), found);
        }
    }

    #[test]
    fn a_page_may_be_a_list_and_no_page_is_no_empty_directory() {
        let mut list = search();
        list.take(json!([{"id": "e1"}])).unwrap();
        assert_eq!(
            list.found(),
            json!({"entries": [{"id": "e1"}], "complete": true})
        );
        let mut empty = search();
        empty.take(json!({"entries": null, "next": ""})).unwrap();
        assert_eq!(empty.found(), json!({"entries": [], "complete": true}));
        for no_page in [Value::Null, json!("OK"), json!({}), json!({"error": "x"})] {
            let failure = search().take(no_page).unwrap_err();
            assert_eq!(failure.code, ErrorCode::DeviceError);
        }
    }
}
