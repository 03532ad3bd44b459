//! HTTP/1.1 on bytes alone: the text of a request, and an answer taken apart as it comes.

use httparse::{EMPTY_HEADER, Header, Status};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

use crate::vault::request::{Access, Method, Request};

/// Largest body accepted, in bytes: Vault's own limit for one KV entry is about as much.
const MAX_BODY: usize = 1024 * 1024;
/// Most bytes beside the body: status lines, headers, trailers.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 100;
/// Longest line before a chunk, its extensions included, in bytes.
const MAX_CHUNK_LINE: usize = 1024;
/// Room for what comes next, where its length is not known.
const ROOM: usize = 4096;

const NOT_HTTP: &str = "it is not HTTP/1.1";
const HEAD_TOO_LARGE: &str = "its head is larger than 16 KiB";
const BODY_TOO_LARGE: &str = "it is larger than 1 MiB";
const CHUNKS_BROKEN: &str = "its chunks are malformed";

/// `request` as it is sent to `host` with `access`: it holds a token, and may hold a secret.
pub(super) fn text(request: &Request, access: &Access, host: &str) -> Zeroizing<Vec<u8>> {
    let headers = access.headers();
    let lengths = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    let body = request
        .body
        .as_ref()
        .map_or(&[][..], |body| body.as_slice());
    // In full from the beginning: a text that grows leaves halves of itself behind.
    let about = request.target.len() + host.len() + lengths.sum::<usize>() + body.len() + 150;
    let mut text = Zeroizing::new(Vec::with_capacity(about));
    let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| text.extend_from_slice(part));
    push(&[request.method.name().as_bytes(), b" /v1/"]);
    push(&[request.target.as_bytes(), b" HTTP/1.1\r\nhost: "]);
    push(&[host.as_bytes(), b"\r\n"]);
    for (name, value) in &headers {
        push(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }
    if request.body.is_some() {
        push(&[b"content-type: ", request.media_type().as_bytes(), b"\r\n"]);
    }
    if matches!(request.method, Method::Post | Method::Patch) || request.body.is_some() {
        let length = body.len().to_string();
        push(&[b"content-length: ", length.as_bytes(), b"\r\n"]);
    }
    push(&[b"\r\n", body]);
    text
}

/// A whole answer.
pub(in crate::vault) struct Reply {
    /// The HTTP status.
    pub(in crate::vault) status: u16,
    /// When it was answered, by the clock of who answered, in whole seconds.
    pub(in crate::vault) date: Option<OffsetDateTime>,
    /// The body.
    pub(in crate::vault) body: Zeroizing<Vec<u8>>,
    /// Whether the connection may serve another request.
    pub(super) keep: bool,
}

/// An answer as far as it has come.
///
/// One buffer holds first the body as far as it is decoded, then what is not looked at yet;
/// what stood between them (heads, the lines of chunks) is moved over. So the body is where it
/// is handed over from, once, and nothing else of it exists.
#[derive(Default)]
pub(super) struct Incoming {
    buffer: Zeroizing<Vec<u8>>,
    /// Where the decoded body ends.
    body: usize,
    /// Where what is not looked at yet begins.
    unread: usize,
    /// Bytes beside the body so far.
    heads: usize,
    head: Head,
    expected: Expected,
}

/// What matters of an answer's head.
#[derive(Clone, Copy, Default)]
struct Head {
    status: u16,
    date: Option<OffsetDateTime>,
    close: bool,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Head,
    /// This many bytes of the body.
    Data {
        left: usize,
        chunked: bool,
    },
    ChunkLine,
    /// The line break after a chunk.
    ChunkEnd,
    Trailers,
    /// Nothing: it is whole.
    End,
}

impl Incoming {
    /// Where to add what comes; there is room for some.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        match self.expected {
            // All at once, so that it need not move again.
            Expected::Data {
                left,
                chunked: false,
            } => self.buffer.reserve_exact(left),
            Expected::Data {
                left,
                chunked: true,
            } => self.buffer.reserve(left),
            Expected::Head | Expected::ChunkLine | Expected::ChunkEnd | Expected::Trailers => {
                self.buffer.reserve(ROOM);
            }
            Expected::End => {}
        }
        &mut self.buffer
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.heads == 0
    }

    /// Takes apart what came. `true` when the answer is whole.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn advance(&mut self) -> Result<bool, &'static str> {
        while self.expected != Expected::End {
            let next = match self.expected {
                Expected::Head => self.head()?,
                Expected::Data { left, chunked } => self.data(left, chunked),
                Expected::ChunkLine => self.chunk_line()?,
                Expected::ChunkEnd => self.chunk_end()?,
                Expected::Trailers => self.trailers()?,
                Expected::End => None,
            };
            let Some(next) = next else { break };
            self.expected = next;
        }
        // What is not looked at yet follows the body again.
        let rest = self.unread().len();
        self.buffer.copy_within(self.unread.., self.body);
        self.buffer.truncate(self.body + rest);
        self.unread = self.body;
        Ok(self.expected == Expected::End)
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Reply {
        // Whoever sends more than was asked for is not asked again.
        let keep = !self.head.close && self.unread().is_empty();
        self.buffer.truncate(self.body);
        Reply {
            status: self.head.status,
            date: self.head.date,
            body: self.buffer,
            keep,
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.unread..).unwrap_or_default()
    }

    /// Counts `bytes` beside the body as read.
    fn passed(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.unread += bytes;
        self.heads += bytes;
        if self.heads > MAX_HEAD {
            return Err(HEAD_TOO_LARGE);
        }
        Ok(())
    }

    /// Nothing yet of what is expected, unless it is too long already.
    fn incomplete(
        &self,
        limit: usize,
        otherwise: &'static str,
    ) -> Result<Option<Expected>, &'static str> {
        if self.unread().len() > limit {
            return Err(otherwise);
        }
        Ok(None)
    }

    fn head(&mut self) -> Result<Option<Expected>, &'static str> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(self.unread()) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return self.incomplete(MAX_HEAD - self.heads, HEAD_TOO_LARGE),
            Err(_) => return Err(NOT_HTTP),
        };
        let status = response.code.ok_or(NOT_HTTP)?;
        let newest = response.version == Some(1);
        let head = Head {
            status,
            date: date(response.headers),
            close: !newest || says_close(response.headers),
        };
        let body = match status {
            // An interim answer, such as 103: the real one follows.
            100 | 102..200 => Expected::Head,
            101 => return Err("it changes the protocol"),
            204 | 304 => Expected::End,
            _ => body(response.headers, newest)?,
        };
        self.passed(length)?;
        self.head = head;
        Ok(Some(body))
    }

    /// Moves what came of the body to its end.
    fn data(&mut self, left: usize, chunked: bool) -> Option<Expected> {
        let came = self.unread().len().min(left);
        let piece = self.unread..self.unread + came;
        self.buffer.copy_within(piece, self.body);
        self.body += came;
        self.unread += came;
        match left - came {
            0 if chunked => Some(Expected::ChunkEnd),
            0 => Some(Expected::End),
            left if came > 0 => Some(Expected::Data { left, chunked }),
            _ => None,
        }
    }

    fn chunk_line(&mut self) -> Result<Option<Expected>, &'static str> {
        // The parser takes a line without a number for the last chunk.
        if self
            .unread()
            .first()
            .is_some_and(|byte| !byte.is_ascii_hexdigit())
        {
            return Err(CHUNKS_BROKEN);
        }
        let (line, size) = match httparse::parse_chunk_size(self.unread()) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return self.incomplete(MAX_CHUNK_LINE, CHUNKS_BROKEN),
            Err(_) => return Err(CHUNKS_BROKEN),
        };
        if line > MAX_CHUNK_LINE {
            return Err(CHUNKS_BROKEN);
        }
        let left = usize::try_from(size).unwrap_or(usize::MAX);
        if left > MAX_BODY - self.body {
            return Err(BODY_TOO_LARGE);
        }
        self.unread += line;
        Ok(Some(match left {
            0 => Expected::Trailers,
            left => Expected::Data {
                left,
                chunked: true,
            },
        }))
    }

    fn chunk_end(&mut self) -> Result<Option<Expected>, &'static str> {
        match self.unread() {
            [b'\r', b'\n', ..] => {
                self.unread += 2;
                Ok(Some(Expected::ChunkLine))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(CHUNKS_BROKEN),
        }
    }

    fn trailers(&mut self) -> Result<Option<Expected>, &'static str> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        match httparse::parse_headers(self.unread(), &mut headers) {
            Ok(Status::Complete((length, _))) => {
                self.passed(length)?;
                Ok(Some(Expected::End))
            }
            Ok(Status::Partial) => self.incomplete(MAX_HEAD - self.heads, HEAD_TOO_LARGE),
            Err(_) => Err(CHUNKS_BROKEN),
        }
    }
}

/// The values of the headers called `name`.
fn values<'a>(headers: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        // What is not text equals nothing that we look for.
        .map(|header| std::str::from_utf8(header.value).unwrap_or("?"))
}

fn date(headers: &[Header<'_>]) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(values(headers, "date").next()?, &Rfc2822).ok()
}

fn says_close(headers: &[Header<'_>]) -> bool {
    values(headers, "connection")
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// How the body is delimited. Two readings of one answer are how an answer is smuggled in, so
/// whatever can be read in two ways is refused. So is a body that ends with the connection: a
/// part of it would pass for the whole.
fn body(headers: &[Header<'_>], newest: bool) -> Result<Expected, &'static str> {
    let mut codings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    match (codings.next(), lengths.next()) {
        (Some(coding), None) => {
            let chunked = coding.trim().eq_ignore_ascii_case("chunked");
            if !newest || !chunked || codings.next().is_some() {
                return Err("its transfer encoding is not \"chunked\"");
            }
            Ok(Expected::ChunkLine)
        }
        (None, Some(length)) => {
            let length = length.trim();
            if length.is_empty()
                || !length.bytes().all(|byte| byte.is_ascii_digit())
                || lengths.next().is_some()
            {
                return Err("its length is not a number");
            }
            // What does not fit is too large, whatever it is.
            match length.parse().unwrap_or(usize::MAX) {
                0 => Ok(Expected::End),
                left @ 1..=MAX_BODY => Ok(Expected::Data {
                    left,
                    chunked: false,
                }),
                _ => Err(BODY_TOO_LARGE),
            }
        }
        (Some(_), Some(_)) => Err("it has a length and a transfer encoding"),
        (None, None) => Err("it does not say where it ends"),
    }
}

#[cfg(test)]
#[path = "http1_tests.rs"]
mod tests;
