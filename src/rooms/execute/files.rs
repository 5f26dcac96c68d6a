//! Commands that take or bring a file: whole in memory where it fits, else as a stream.

use serde_json::Value;

use super::{Execution, JSON_LIMIT, refusal, too_much};
use crate::catalogue::{Binary, Operation, Request};
use crate::command::{Download, ErrorCode, Failure, FileAnswer, Success, Transfer, Upload};
use crate::device::{DeviceResponse, DownloadError, Downloaded, LARGEST_UPLOAD, RequestError};

impl Execution<'_> {
    /// Sends a command whose payload, a file, streams in.
    pub(super) async fn upload(
        &mut self,
        request: &Request,
        upload: Upload,
    ) -> Result<DeviceResponse, Failure> {
        if upload.length > LARGEST_UPLOAD {
            return Err(too_much());
        }
        let device = self.device;
        let sent = device.upload(request, upload, JSON_LIMIT, self.deadline);
        sent.await.map_err(|failed| self.failure(failed, false))
    }

    /// Brings a file: streams it where it is awaited so, else holds it in memory if it fits.
    pub(super) async fn file(
        &mut self,
        request: &Request,
        operation: &Operation,
        kind: Binary,
        transfer: Transfer,
    ) -> Result<Success, Failure> {
        // What stays retained must be held in any case.
        let answer = match transfer {
            Transfer::Download(to) if !kind.retained => {
                match self.stream(request, kind, to).await? {
                    Downloaded::File(head, status, size) => {
                        let file = named(kind, Some(&head.content_type), Some(size));
                        return Ok(Success::file(status, file));
                    }
                    Downloaded::Response(answer) => answer,
                }
            }
            _ => {
                let limit = self.environment.max_payload;
                match self.device.send(request, limit, self.deadline).await {
                    Ok(answer) => answer,
                    Err(RequestError::TooLarge(large))
                        if !kind.retained && is_success(large.status) =>
                    {
                        let file = named(kind, large.content_type.as_deref(), large.length);
                        return Ok(Success::file(large.status, file));
                    }
                    Err(failed) => return Err(self.failure(failed, request.repeatable)),
                }
            }
        };
        if !is_success(answer.status) {
            let named = operation.path.contains('{');
            return Err(refusal(&answer, operation, named));
        }
        // Nothing but a status where the device has none yet.
        if answer.status == 204 || answer.body.is_empty() {
            return Ok(Success::new(answer.status, Value::Null));
        }
        let size = answer.body.len() as u64;
        let file = FileAnswer {
            bytes: Some(answer.body),
            ..named(kind, answer.content_type.as_deref(), Some(size))
        };
        Ok(Success::file(answer.status, file))
    }

    async fn stream(
        &mut self,
        request: &Request,
        kind: Binary,
        to: Download,
    ) -> Result<Downloaded, Failure> {
        let device = self.device;
        let streamed = device.download(request, to, kind.content_type, self.deadline);
        match streamed.await {
            Ok(downloaded) => Ok(downloaded),
            Err(DownloadError::Request(failed)) => Err(self.failure(failed, request.repeatable)),
            Err(DownloadError::Abandoned) => Err(Failure::new(
                ErrorCode::Expired,
                "whoever asked for the file did not take all of it",
            )),
        }
    }
}

fn is_success(status: u16) -> bool {
    (200..=299).contains(&status)
}

/// A file without its bytes.
fn named(kind: Binary, content_type: Option<&str>, size: Option<u64>) -> FileAnswer {
    FileAnswer {
        topic: kind.topic.to_owned(),
        content_type: content_type.unwrap_or(kind.content_type).into(),
        size,
        bytes: None,
        retained: kind.retained,
    }
}
