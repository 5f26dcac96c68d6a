//! Bodies that stream to the device.

use std::io;

use futures_util::stream::{self, BoxStream};

use super::*;

async fn upload(client: &HttpClient, upload: UploadBody) -> Result<HttpResponse, HttpError> {
    let request = client.fixed(Method::POST, "/rest/certificates", None);
    client.send(&request, None, Some(upload)).await
}

fn chunks(texts: &'static [&str]) -> BoxStream<'static, io::Result<Bytes>> {
    stream::iter(
        texts
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes()))),
    )
    .boxed()
}

#[tokio::test]
async fn an_upload_is_sent_with_its_length() {
    let (device, seen) = recorder(TRUE).await;
    let client = client(&device.url, true);
    let sent = upload(
        &client,
        UploadBody {
            length: 9,
            chunks: chunks(&["four", "fiver"]),
        },
    );
    assert_eq!(sent.await.unwrap().status(), 200);
    let text = seen.lock().to_ascii_lowercase();
    assert!(text.contains("content-length: 9\r\n"), "{text}");
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn an_upload_of_another_length_than_said_breaks_off() {
    // Reads to the end: what it gets is what counts.
    let device = TestDevice::start(async |mut connection| {
        let _ = connection.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = client(&device.url, true);
    for (length, texts) in [(3, &["four"][..]), (5, &[]), (5, &["four"])] {
        let chunks = chunks(texts);
        let sent = upload(&client, UploadBody { length, chunks });
        let result = timeout(LONG, sent).await.unwrap();
        assert!(
            matches!(result, Err(HttpError::Broken(_))),
            "{length}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_response_before_the_end_of_the_upload_is_taken() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\ntrue";
    let device = TestDevice::that_answers(refusal, false).await;
    let client = client(&device.url, true);
    let chunks = stream::pending().boxed();
    let sent = upload(
        &client,
        UploadBody {
            length: 1000,
            chunks,
        },
    );
    let response = timeout(LONG, sent).await.unwrap().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(body(response).await.unwrap(), b"true");
    // The rest of the upload would be taken for the next request.
    assert_eq!(get(&client).await.unwrap(), b"true");
    assert_eq!(device.connections(), 2);
}

#[tokio::test]
async fn the_end_of_a_response_ends_its_upload() {
    let device = TestDevice::start(async |mut connection| {
        request_head(&mut connection).await;
        send(
            &mut connection,
            "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        let _ = connection.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = client(&device.url, true);
    let (uploader, uploader_is_gone) = oneshot::channel::<()>();
    let endless = stream::unfold(uploader, async |uploader| {
        sleep(Duration::from_millis(10)).await;
        Some((Ok(Bytes::from_static(b"a")), uploader))
    });
    let chunks = endless.boxed();
    let response = upload(
        &client,
        UploadBody {
            length: 1_000_000,
            chunks,
        },
    );
    assert_eq!(body(response.await.unwrap()).await.unwrap(), b"");
    assert!(
        timeout(Duration::from_secs(2), uploader_is_gone)
            .await
            .unwrap()
            .is_err()
    );
}
