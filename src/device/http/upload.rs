//! A request's body that streams in.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream, unfold};

/// A body that streams in. It can be sent once.
pub struct UploadBody {
    /// The size in bytes, as sent in `Content-Length`.
    pub length: u64,
    /// The bytes. An error, or another length, breaks the exchange off.
    pub chunks: BoxStream<'static, io::Result<Bytes>>,
}

/// Passes an upload on, and fails unless it is exactly as long as `Content-Length` says. The library
/// would cut off the rest.
pub(super) fn exact_length(
    upload: UploadBody,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    unfold(Some(upload), async |upload| {
        let mut upload = upload?;
        let wrong = || io::Error::other("the upload has another length than its sender said");
        match upload.chunks.next().await {
            Some(Ok(chunk)) => match upload.length.checked_sub(chunk.len() as u64) {
                Some(rest) => {
                    upload.length = rest;
                    Some((Ok(chunk), Some(upload)))
                }
                None => Some((Err(wrong()), None)),
            },
            Some(Err(error)) => Some((Err(error), None)),
            None if upload.length > 0 => Some((Err(wrong()), None)),
            None => None,
        }
    })
}
