//! A gateway behind a door that carries out every command at once.

use bytes::Bytes;
use poly2mqtt::command::{DoorKind, Failure, Reply, Submission, Submit, Success};
use serde_json::Value;

pub struct Obliging;

impl Submit for Obliging {
    fn submit(&self, submission: Submission) {
        submission.reply.answer(Ok(Success::new(200, Value::Null)));
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        reply.answer(Err(failure));
    }
}
