//! Commands that send or fetch a file: whole in memory if it fits, otherwise as a stream.

use serde_json::Value;

use super::Executor;
use super::answer::is_success;
use crate::catalogue::{
    FileAnswerKind, FileSpec, Operation, Request, read_body, refusal_reason, refuses,
};
use crate::command::{Download, ErrorCode, Failure, FileAnswer, Success, Transfer, Upload};
use crate::device::{
    DeviceResponse, DownloadError, Downloaded, Fetched, LARGEST_UPLOAD, RequestError,
};
use crate::rooms::reading::LARGEST_JSON_ANSWER;
use crate::rooms::refusal::{
    invalid_body, not_carried_out, refusal, unsupported, upload_too_large,
};

/// What a result says while the device still prepares the file (204).
const NOT_READY: &str = "the file is not ready yet: ask again";

impl Executor<'_> {
    /// Sends a command whose payload is a file that streams in.
    pub(super) async fn upload(
        &mut self,
        request: &Request,
        upload: Upload,
    ) -> Result<DeviceResponse, Failure> {
        if upload.length > LARGEST_UPLOAD {
            return Err(upload_too_large());
        }
        let device = self.device;
        let sent = device.upload(request, upload, LARGEST_JSON_ANSWER, self.deadline);
        sent.await.map_err(|error| self.fail_command(error, false))
    }

    /// Fetches a file. It streams to a sender that waits for a stream; otherwise it is held in
    /// memory if it fits, and else only described. A file that is published as a state is always
    /// held.
    pub(super) async fn fetch_file(
        &mut self,
        request: &Request,
        operation: &Operation,
        spec: FileSpec,
        transfer: Transfer,
    ) -> Result<Success, Failure> {
        let response = match transfer {
            Transfer::Download(download) if !spec.is_state => {
                match self.stream(request, spec, download).await? {
                    Downloaded::File(head, status, size) => {
                        let file = without_bytes(spec, Some(&head.content_type), Some(size));
                        return Ok(Success::file(status, file));
                    }
                    Downloaded::Response(response) => response,
                }
            }
            _ => {
                let limit = self.environment.max_payload;
                let fetched = self.device.fetch(request, limit, spec, self.deadline);
                match fetched.await {
                    Ok(Fetched::Response(response)) => response,
                    Ok(Fetched::Large(large)) if spec.is_state => {
                        return Err(self.fail(RequestError::TooLarge(large), request.repeatable));
                    }
                    Ok(Fetched::Large(large)) => {
                        let content_type = large.content_type.as_deref();
                        let file = without_bytes(spec, content_type, large.length);
                        return Ok(Success::file(large.status, file));
                    }
                    Err(error) => return Err(self.fail(error, request.repeatable)),
                }
            }
        };
        if self.lacks(&response) {
            return Err(unsupported(response.status));
        }
        if !is_success(response.status) {
            let named = operation.path.contains('{');
            return Err(refusal(&response, operation, named));
        }
        if response.status == 204 && spec.may_be_unready {
            return Ok(Success {
                warning: Some(NOT_READY.into()),
                ..Success::new(response.status, Value::Null)
            });
        }
        if let Some(failure) = no_file(spec, &response) {
            return Err(failure);
        }
        let size = response.body.len() as u64;
        let file = FileAnswer {
            bytes: Some(response.body),
            ..without_bytes(spec, response.content_type.as_deref(), Some(size))
        };
        Ok(Success::file(response.status, file))
    }

    async fn stream(
        &mut self,
        request: &Request,
        spec: FileSpec,
        download: Download,
    ) -> Result<Downloaded, Failure> {
        let device = self.device;
        let streamed = device.download(request, download, spec, self.deadline);
        match streamed.await {
            Ok(downloaded) => Ok(downloaded),
            Err(DownloadError::Request(error)) => Err(self.fail(error, request.repeatable)),
            Err(DownloadError::Abandoned) => Err(Failure::new(
                ErrorCode::Expired,
                "the client that asked for the file stopped reading it",
            )),
        }
    }
}

/// Why a response is not the file that was asked for; `None` if it is.
fn no_file(spec: FileSpec, response: &DeviceResponse) -> Option<Failure> {
    let status = response.status;
    if response.body.is_empty() {
        return Some(invalid_body(status, "the device sent no file".into()));
    }
    let came = match spec.kind_of(response.content_type.as_deref(), &response.body) {
        FileAnswerKind::File => return None,
        FileAnswerKind::WebPage => "a web page".to_owned(),
        FileAnswerKind::Json => match read_body(&response.body) {
            Ok(body) if refuses(&body) => {
                return Some(not_carried_out(status, refusal_reason(&body)));
            }
            _ => "JSON".to_owned(),
        },
        FileAnswerKind::Other => format!("what is no {}", spec.content_type),
    };
    let message = format!("the device answered with {came}, not with the file");
    Some(invalid_body(status, message))
}

fn without_bytes(spec: FileSpec, content_type: Option<&str>, size: Option<u64>) -> FileAnswer {
    FileAnswer {
        topic: spec.topic.to_owned(),
        content_type: content_type.unwrap_or(spec.content_type).into(),
        size,
        bytes: None,
        is_state: spec.is_state,
    }
}
