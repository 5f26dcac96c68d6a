//! HTTP/1.1 as far as devices speak it: a request's bytes, an answer's head, where its body ends.
//!
//! Pure: bytes in, bytes out (RFC 9112), the reading of heads and chunk sizes being httparse's. A
//! general client is not used: a connection to a device has one exchange at a time, and what a client
//! keeps around that takes longer, and more memory, than the exchange (docs/performance.md).

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, ParserConfig, Status};

use crate::catalogue::Method;

/// An answer's head, a chunk's first line and a body's trailers are never longer.
const LONGEST_HEAD: usize = 64 << 10;
/// An answer has no more headers, a body no more trailers.
const MOST_HEADERS: usize = 100;

/// What came is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The head of a request; its fields follow, then [`end_of_head`].
pub fn head(method: Method, target: &str, host: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    for part in [
        method.as_str(),
        " ",
        target,
        " HTTP/1.1\r\nHost: ",
        host,
        "\r\nAccept: */*\r\n",
    ] {
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// Adds a field. The value must be one that can stand in a header.
pub fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// Ends the head; a body of so many bytes follows, or none.
pub fn end_of_head(head: &mut Vec<u8>, length: Option<u64>) {
    if let Some(length) = length {
        field(head, "Content-Length", length.to_string().as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}

/// The head of an answer.
pub struct Head {
    /// The status.
    pub status: u16,
    /// The MIME type, if it gave one.
    pub content_type: Option<String>,
    /// How many bytes its body has, where it says so.
    pub length: Option<u64>,
    /// What it sets as cookies.
    pub cookies: Vec<String>,
    /// The device would go on with the connection.
    pub keeps: bool,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The cookies are the session.
        f.debug_struct("Head")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Takes an answer's head, and what stands before it of the interim kind, from what has arrived;
/// none if it has not arrived whole.
///
/// # Errors
/// It is none.
pub fn read_head(arrived: &mut BytesMut) -> Result<Option<(Head, Body)>, Malformed> {
    while !arrived.is_empty() {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(
            &mut answer,
            arrived,
            &mut fields,
        );
        let Status::Complete(end) = parsed.map_err(|_| Malformed)? else {
            return short(arrived);
        };
        let status = answer.code.ok_or(Malformed)?;
        match status {
            // A switch to another protocol, which nobody asked for.
            101 => return Err(Malformed),
            100..=199 => arrived.advance(end),
            _ => {
                let read = understand(status, answer.version == Some(1), answer.headers)?;
                arrived.advance(end);
                return Ok(Some(read));
            }
        }
    }
    Ok(None)
}

/// Not all of a line or head is there yet, which is in order unless it is too long.
fn short<T>(arrived: &BytesMut) -> Result<Option<T>, Malformed> {
    if arrived.len() > LONGEST_HEAD {
        return Err(Malformed);
    }
    Ok(None)
}

fn understand(
    status: u16,
    current: bool,
    fields: &[httparse::Header<'_>],
) -> Result<(Head, Body), Malformed> {
    let mut head = Head {
        status,
        content_type: None,
        length: None,
        cookies: Vec::new(),
        keeps: current,
    };
    let mut encoded = None;
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let length = length(field.value).ok_or(Malformed)?;
            if head.length.is_some_and(|other| other != length) {
                return Err(Malformed);
            }
            head.length = Some(length);
        } else if is("transfer-encoding") {
            encoded = words(field.value).last().map(|last| last == "chunked");
        } else if is("connection") {
            for word in words(field.value) {
                match word.as_str() {
                    "close" => head.keeps = false,
                    "keep-alive" => head.keeps = true,
                    _ => {}
                }
            }
        } else if is("content-type") {
            let kind = plain(field.value).and_then(|text| text.split(';').next());
            head.content_type = kind.map(|kind| kind.trim().to_owned());
        } else if is("set-cookie") {
            head.cookies.extend(plain(field.value).map(str::to_owned));
        }
    }
    let body = match (status, encoded, head.length) {
        // RFC 9112 section 6.3, in its order.
        (204 | 304, ..) => Body::Rest(0),
        (_, Some(true), length) => {
            // A length beside it is a mistake, and whose answer the next one is would be in doubt.
            head.keeps &= length.is_none();
            head.length = None;
            Body::Chunks(Chunks::Size)
        }
        (_, None, Some(length)) => Body::Rest(length),
        (_, Some(false), _) | (_, None, None) => {
            head.keeps = false;
            head.length = None;
            Body::UntilClosed
        }
    };
    Ok((head, body))
}

/// Digits and nothing else: a sign or a list would be read otherwise elsewhere.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok()
}

/// What can stand in a header of ours too; none if it is stranger than that.
fn plain(value: &[u8]) -> Option<&str> {
    let plain = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| plain)
}

fn words(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    let words = value.split(|byte| *byte == b',');
    words.map(|word| String::from_utf8_lossy(word).trim().to_ascii_lowercase())
}

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Rest(u64),
    /// Chunks, with where in them it stands.
    Chunks(Chunks),
    /// All that comes until the connection ends.
    UntilClosed,
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// A chunk's size is next.
    Size,
    /// So many bytes of a chunk are.
    Data(u64),
    /// The end of a chunk's line is.
    Line,
    /// What follows the last chunk is.
    Trailers,
}

/// What there is of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Its next bytes; never none.
    Data(Bytes),
    /// Nothing until more has arrived.
    Wait,
    /// Nothing more.
    End,
}

impl Body {
    /// Takes what there is from what has arrived.
    ///
    /// # Errors
    /// It is no body of this kind.
    pub fn next(&mut self, arrived: &mut BytesMut) -> Result<Part, Malformed> {
        loop {
            match self {
                Self::Rest(0) => return Ok(Part::End),
                Self::Rest(rest) => return Ok(take(arrived, rest)),
                Self::UntilClosed => return Ok(take(arrived, &mut { u64::MAX })),
                Self::Chunks(Chunks::Data(rest)) if *rest > 0 => return Ok(take(arrived, rest)),
                Self::Chunks(chunks) => {
                    let Some(next) = chunks.next(arrived)? else {
                        return Ok(Part::Wait);
                    };
                    *self = next;
                }
            }
        }
    }
}

fn take(arrived: &mut BytesMut, rest: &mut u64) -> Part {
    let most = usize::try_from(*rest).unwrap_or(usize::MAX);
    let data = arrived.split_to(arrived.len().min(most));
    if data.is_empty() {
        return Part::Wait;
    }
    *rest -= data.len() as u64;
    Part::Data(data.freeze())
}

impl Chunks {
    /// What stands between the chunks' bytes; none until more has arrived.
    fn next(self, arrived: &mut BytesMut) -> Result<Option<Body>, Malformed> {
        let next = match self {
            // The library takes a line without a digit for a size of none.
            Self::Size
                if arrived
                    .first()
                    .is_some_and(|byte| !byte.is_ascii_hexdigit()) =>
            {
                return Err(Malformed);
            }
            Self::Size => match httparse::parse_chunk_size(arrived).map_err(|_| Malformed)? {
                Status::Partial => return short(arrived),
                Status::Complete((end, size)) => {
                    arrived.advance(end);
                    match size {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    }
                }
            },
            Self::Data(_) => Self::Line,
            Self::Line => match &**arrived {
                [b'\r', b'\n', ..] => {
                    arrived.advance(2);
                    Self::Size
                }
                [] | [b'\r'] => return Ok(None),
                _ => return Err(Malformed),
            },
            Self::Trailers => {
                let mut fields = [EMPTY_HEADER; MOST_HEADERS];
                return match httparse::parse_headers(arrived, &mut fields) {
                    Ok(Status::Complete((end, _))) => {
                        arrived.advance(end);
                        Ok(Some(Body::Rest(0)))
                    }
                    Ok(Status::Partial) => short(arrived),
                    Err(_) => Err(Malformed),
                };
            }
        };
        Ok(Some(Body::Chunks(next)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Status, body, whether the connection would be kept, and what is left.
    type DeviceResponse = (u16, Vec<u8>, bool, Vec<u8>);

    /// Reads an answer that arrives in pieces, up to its end or the connection's.
    fn read(pieces: &[&[u8]]) -> Result<Option<DeviceResponse>, Malformed> {
        let mut arrived = BytesMut::new();
        let mut read: Option<(Head, Body)> = None;
        let mut whole = Vec::new();
        for piece in pieces {
            arrived.extend_from_slice(piece);
            if read.is_none() {
                read = read_head(&mut arrived)?;
            }
            let Some((head, body)) = &mut read else {
                continue;
            };
            loop {
                match body.next(&mut arrived)? {
                    Part::Data(data) => whole.extend_from_slice(&data),
                    Part::Wait => break,
                    Part::End => {
                        return Ok(Some((head.status, whole, head.keeps, arrived.to_vec())));
                    }
                }
            }
        }
        Ok(None)
    }

    fn whole(answer: &str) -> Option<(u16, String, bool)> {
        let (status, body, keeps, left) = read(&[answer.as_bytes()]).unwrap()?;
        assert!(left.is_empty());
        Some((status, String::from_utf8(body).unwrap(), keeps))
    }

    fn malformed(answer: &str) -> bool {
        read(&[answer.as_bytes()]).is_err()
    }

    #[test]
    fn a_request_is_written_as_the_standard_wants() {
        let mut request = head(Method::Post, "/rest/audio/volume", "192.0.2.1:8443");
        field(&mut request, "Cookie", b"session_id=A+/=");
        end_of_head(&mut request, Some(2));
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "POST /rest/audio/volume HTTP/1.1\r\nHost: 192.0.2.1:8443\r\nAccept: */*\r\n\
             Cookie: session_id=A+/=\r\nContent-Length: 2\r\n\r\n"
        );
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        let ok = |body: &str, keeps| Some((200, body.to_owned(), keeps));
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue";
        assert_eq!(whole(answer), ok("true", true));
        let answer = "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 4\r\n\r\ntrue";
        assert_eq!(whole(answer), ok("true", false));
        let answer = "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
        assert_eq!(whole(answer), ok("true", false));
        let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n";
        assert_eq!(whole(answer), Some((204, String::new(), true)));
        let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(whole(answer), ok("", true));
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      2;a=b\r\ntr\r\nA\r\nue, really\r\n0\r\nX-Sum: 1\r\n\r\n";
        assert_eq!(whole(answer), ok("true, really", true));
        let answer = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
        assert_eq!(whole(answer), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read_or_not_gone_on_with() {
        for length in ["+4", "4, 4", "", "0x4", "-1", "99999999999999999999"] {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\ntrue");
            assert!(malformed(&answer), "{length}");
        }
        let two = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ntrue!";
        assert!(malformed(two));
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
                    4\r\ntrue\r\n0\r\n\r\n";
        assert_eq!(whole(both), Some((200, "true".into(), false)));
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for bad in [
            "\r\n",
            "x\r\n",
            "4\r\ntrue0\r\n\r\n",
            "fffffffffffffffff\r\n",
        ] {
            assert!(malformed(&format!("{chunks}{bad}")), "{bad}");
        }
        assert!(malformed("HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        assert!(malformed("SSH-2.0-OpenSSH_9.2\r\n"));
        assert!(malformed(
            &"HTTP/1.1 200 OK\r\nX: y\r\n".repeat(MOST_HEADERS)
        ));
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(LONGEST_HEAD));
        assert!(malformed(&endless));
        assert!(malformed(&format!(
            "{chunks}1;{}",
            "y".repeat(LONGEST_HEAD)
        )));
    }

    #[test]
    fn a_head_shows_no_cookie_and_takes_no_strange_one() {
        let answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session_id=secret; Path=/\r\n\r\n";
        let (head, _) = read_head(&mut BytesMut::from(&answer[..]))
            .unwrap()
            .unwrap();
        assert_eq!(head.cookies, ["session_id=secret; Path=/"]);
        assert!(!format!("{head:?}").contains("secret"));
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: bücher\r\nSet-Cookie: a=ü\r\n\r\n";
        let (head, _) = read_head(&mut BytesMut::from(answer)).unwrap().unwrap();
        assert_eq!((head.content_type, head.cookies), (None, Vec::new()));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            sizes in proptest::collection::vec(1_usize..40, 0..5),
            cut in 1_usize..50,
        ) {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let mut body = Vec::new();
            for size in sizes {
                answer.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                answer.extend(std::iter::repeat_n(b'z', size));
                answer.extend_from_slice(b"\r\n");
                body.extend(std::iter::repeat_n(b'z', size));
            }
            answer.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = answer.chunks(cut).collect();
            prop_assert_eq!(read(&pieces), Ok(Some((200, body, true, Vec::new()))));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, cut in 1_usize..50) {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            let _ = read(&pieces);
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.extend_from_slice(&bytes);
            let pieces: Vec<&[u8]> = answer.chunks(cut).collect();
            let _ = read(&pieces);
        }
    }
}
