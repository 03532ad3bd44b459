//! Answers whole, in pieces and broken.

use proptest::prelude::*;

use super::*;
use crate::domain::SecretValue;

type Read = Result<Option<(u16, Vec<u8>)>, &'static str>;

/// What an answer to `method` that comes in `pieces` is read as; `None` when it is not whole.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut incoming = Incoming::default();
    for piece in pieces {
        incoming.room().extend_from_slice(piece);
        if incoming.advance()? {
            let reply = incoming.finish();
            return Ok(Some((reply.status, reply.body.to_vec())));
        }
    }
    Ok(None)
}

fn whole(answer: &str) -> Read {
    read([answer.as_bytes()])
}

fn after_ok(rest: &str) -> Read {
    whole(&format!("HTTP/1.1 200 OK\r\n{rest}"))
}

#[test]
fn each_way_to_say_where_a_body_ends_is_understood() {
    for rest in [
        "content-length: 5\r\n\r\nhello",
        "Content-Length: 5 \r\nX-Other: \u{e9}\r\n\r\nhello",
        "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1;a=b\r\nh\r\n04 ;c\r\nello\r\n000\r\nTrailer: t\r\n\r\n",
    ] {
        assert_eq!(after_ok(rest), Ok(Some((200, b"hello".to_vec()))), "{rest}");
        let cut = rest.len() - 1;
        assert_eq!(after_ok(rest.get(..cut).unwrap()), Ok(None), "{rest}");
        let interim = format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 \r\n{rest}");
        assert_eq!(
            whole(&interim),
            Ok(Some((404, b"hello".to_vec()))),
            "{rest}"
        );
    }
    assert_eq!(
        after_ok("content-length: 0\r\n\r\n"),
        Ok(Some((200, vec![])))
    );
}

#[test]
fn answers_without_a_body_have_none() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    ] {
        let status = answer.get(9..12).unwrap().parse().unwrap();
        assert_eq!(whole(answer), Ok(Some((status, vec![]))), "{answer}");
    }
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(whole(answer), Ok(None));
}

#[test]
fn what_is_broken_or_can_be_read_in_two_ways_is_refused() {
    let long = "x".repeat(20_000);
    for (rest, cause) in [
        (
            "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "a length and a transfer",
        ),
        (
            "content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "not a number",
        ),
        ("content-length: +5\r\n\r\nhello", "not a number"),
        ("content-length: 5, 5\r\n\r\nhello", "not a number"),
        ("content-length:\r\n\r\n", "not a number"),
        ("content-length: \u{e9}\r\n\r\n", "not a number"),
        ("content-length: 1048577\r\n\r\n", "larger than 1 MiB"),
        (
            "content-length: 99999999999999999999999999\r\n\r\n",
            "larger than 1 MiB",
        ),
        (
            "transfer-encoding: gzip, chunked\r\n\r\n",
            "not \"chunked\"",
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "not \"chunked\"",
        ),
        ("\r\nhello", "where it ends"),
        ("transfer-encoding: chunked\r\n\r\n\r\n\r\n", "chunks"),
        ("transfer-encoding: chunked\r\n\r\n;x\r\n\r\n", "chunks"),
        ("transfer-encoding: chunked\r\n\r\n-5\r\nhello", "chunks"),
        ("transfer-encoding: chunked\r\n\r\n0x5\r\nhello", "chunks"),
        (
            "transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
            "chunks",
        ),
        (
            "transfer-encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
            "chunks",
        ),
        (
            "transfer-encoding: chunked\r\n\r\n100001\r\n",
            "larger than 1 MiB",
        ),
        (
            "transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "larger than 1 MiB",
        ),
        (
            "transfer-encoding: chunked\r\n\r\n1ffffffffffffffff\r\n",
            "chunks",
        ),
        (
            &format!("transfer-encoding: chunked\r\n\r\n5;{long}"),
            "chunks",
        ),
        (
            &format!("transfer-encoding: chunked\r\n\r\n5;{long}\r\nhello"),
            "chunks",
        ),
        (
            &format!("transfer-encoding: chunked\r\n\r\n0\r\nt: {long}"),
            "head is larger",
        ),
        (
            &format!("transfer-encoding: chunked\r\n\r\n0\r\nt: {long}\r\n\r\n"),
            "head is larger",
        ),
        (&format!("x: {long}"), "head is larger"),
        (
            &format!("x: {long}\r\ncontent-length: 0\r\n\r\n"),
            "head is larger",
        ),
        (
            &("a: b\r\n".repeat(101) + "content-length: 0\r\n\r\n"),
            "not HTTP",
        ),
    ] {
        let shown: String = rest.chars().take(80).collect();
        let error = after_ok(rest).unwrap_err();
        assert!(error.contains(cause), "{shown}: {error}");
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    for answer in [
        "garbage\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        &interim,
    ] {
        assert!(whole(answer).is_err(), "{answer:.40}");
    }
}

#[test]
fn only_a_connection_at_its_end_of_an_answer_is_kept() {
    for (answer, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", true),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\ncontent-length: 1\r\n\r\nx",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\nx",
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", false),
    ] {
        let mut incoming = Incoming::default();
        incoming.room().extend_from_slice(answer.as_bytes());
        assert_eq!(incoming.advance(), Ok(true), "{answer}");
        let reply = incoming.finish();
        assert_eq!(reply.keep, kept, "{answer}");
        assert!(reply.body.len() < 2, "{answer}");
    }
}

#[test]
fn the_largest_body_is_read_and_stays_where_it_is() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MAX_BODY}\r\n\r\n");
    let mut incoming = Incoming::default();
    incoming.room().extend_from_slice(head.as_bytes());
    assert_eq!(incoming.advance(), Ok(false));
    let place = incoming.room().as_ptr();
    let mut left = MAX_BODY;
    while left > 0 {
        let piece = left.min(9999);
        incoming.room().extend_from_slice(&vec![b'x'; piece]);
        left -= piece;
        assert_eq!(incoming.advance(), Ok(left == 0));
    }
    let reply = incoming.finish();
    assert_eq!(reply.body.as_ptr(), place, "it moved");
    assert_eq!(reply.body.len(), MAX_BODY);
}

#[test]
fn a_request_is_written_as_it_must_be() {
    let token = SecretValue::new(b"s.t".to_vec());
    let access = Access::new(Some(token), Some("team".to_owned()));
    let access = access.wrapping(std::time::Duration::ZERO);
    let text = |method, body: Option<&str>| {
        let request = Request::new(method, &"a/b c").of_version(Some(3));
        let request = match body {
            Some(body) => request.with(body.as_bytes().to_vec().into()),
            None => request,
        };
        let text = text(&request, &access, "vault:8200");
        String::from_utf8(text.to_vec()).unwrap()
    };
    let head = "/v1/a/b%20c?version=3 HTTP/1.1\r\nhost: vault:8200\r\nx-vault-request: true\r\n\
                x-vault-token: s.t\r\nx-vault-namespace: team\r\nx-vault-wrap-ttl: 1s\r\n";
    assert_eq!(text(Method::List, None), format!("LIST {head}\r\n"));
    assert_eq!(
        text(Method::Post, None),
        format!("POST {head}content-length: 0\r\n\r\n")
    );
    let typed = "content-type: application/merge-patch+json\r\ncontent-length: 2";
    assert_eq!(
        text(Method::Patch, Some("{}")),
        format!("PATCH {head}{typed}\r\n\r\n{{}}")
    );
}

/// An answer with `body`, in one of the ways there are.
fn answer(body: &[u8], chunk: usize, interim: bool) -> Vec<u8> {
    let mut answer = vec![];
    if interim {
        answer.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
    }
    answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: Sat, 03 Jan 2026 10:00:00 GMT\r\n");
    if chunk == 0 {
        answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        answer.extend_from_slice(body);
        return answer;
    }
    answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(chunk) {
        answer.extend_from_slice(format!("{:X};e\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\nExpires: never\r\n\r\n");
    answer
}

/// `bytes` cut into pieces of the given lengths, over and over.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = vec![];
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(*length));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        lengths in prop::collection::vec(1..50_usize, 1..5),
        led in any::<bool>(),
    ) {
        let lead: &[u8] = if led { b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" } else { b"" };
        let all = [lead, &bytes].concat();
        drop(read(cut(&all, &lengths)));
    }

    #[test]
    fn an_answer_split_anywhere_is_the_same_answer(
        body in prop::collection::vec(any::<u8>(), 0..3000),
        chunk in 0..2000_usize,
        interim in any::<bool>(),
        lengths in prop::collection::vec(1..200_usize, 1..8),
    ) {
        let answer = answer(&body, chunk, interim);
        prop_assert_eq!(read(cut(&answer, &lengths)), Ok(Some((200, body))));
    }

    #[test]
    fn a_damaged_answer_split_anywhere_is_read_as_in_one_piece(
        body in prop::collection::vec(any::<u8>(), 0..300),
        chunk in 0..100_usize,
        place in any::<prop::sample::Index>(),
        byte in prop::sample::select(&b"\r\n0f ;:\x00"[..]),
        lengths in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let mut answer = answer(&body, chunk, false);
        let place = place.index(answer.len());
        answer[place] = byte;
        let in_one = read([&answer[..]]);
        let in_pieces = read(cut(&answer, &lengths));
        match in_one {
            Ok(read) => prop_assert_eq!(in_pieces, Ok(read)),
            Err(_) => prop_assert!(in_pieces.is_err()),
        }
    }
}
