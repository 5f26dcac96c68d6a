use futures_util::stream;
use tokio::time::timeout;

use super::*;
use crate::command::CutOff;

const HOUR: Duration = Duration::from_secs(3600);

/// A response whose body is this, or begins with it and goes on with nothing.
fn response(start: &'static str, is_whole: bool) -> Response<Body> {
    let chunks = stream::iter([Ok::<_, CutOff>(Bytes::from(start))]);
    let body = if is_whole {
        Body::from_stream(chunks)
    } else {
        Body::from_stream(chunks.chain(stream::pending()))
    };
    let response = Response::builder().header(CONTENT_TYPE, "text/plain");
    response.body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_sends_a_part_of_a_file_and_then_nothing_is_not_waited_for_for_ever() {
    for is_whole in [true, false] {
        let (download, reader) = Download::new();
        let received = tokio::spawn(receive(download, response("a part", is_whole)));
        assert_eq!(&*reader.head.await.unwrap().content_type, "text/plain");
        let chunks = timeout(HOUR, reader.body.into_stream().collect::<Vec<_>>());
        let mut wanted = vec![Ok(Bytes::from("a part"))];
        wanted.extend((!is_whole).then_some(Err(CutOff)));
        assert_eq!(chunks.await, Ok(wanted));
        assert_eq!(received.await.unwrap().is_some(), is_whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_file_slowly_gets_it_whole() {
    const CHUNKS: usize = 20;
    let (download, reader) = Download::new();
    let chunks = stream::iter([const { Ok::<_, CutOff>(Bytes::from_static(b"a")) }; CHUNKS]);
    let body = Body::from_stream(chunks);
    let received = tokio::spawn(receive(download, Response::new(body)));
    let chunks = reader.body.into_stream().then(async |chunk| {
        tokio::time::sleep(2 * LONGEST_FILE_SILENCE).await;
        chunk
    });
    let got: Vec<_> = chunks.collect().await;
    assert!(got.len() == CHUNKS && got.iter().all(Result::is_ok));
    assert!(received.await.unwrap().is_some());
}
