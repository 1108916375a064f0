//! As much of HTTP/1.1 as a well-behaved client needs, by hand: a fault may cut a reply at any byte.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub struct Connection {
    stream: BufReader<TcpStream>,
    /// The last request was HEAD, which no body follows whatever the reply is.
    headers_only: bool,
}

#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Decoded.
    pub bucket: String,
    /// Decoded; empty if the request is about the bucket.
    pub key: String,
    /// The path as it was sent.
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the headers say of the body.
    pub length: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn is_listing(&self) -> bool {
        self.method == "GET" && self.key.is_empty()
    }
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), length: body.len(), body }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream), headers_only: false }
    }

    /// The next request; `None` when the client has gone, or speaks something else.
    pub async fn next(&mut self) -> Option<Request> {
        let first = self.line().await?;
        let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else { return None };
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        self.headers_only = method == "HEAD";
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (bucket, key) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
        Some(Request {
            method: method.to_owned(),
            bucket: decoded(bucket),
            key: decoded(key),
            path: path.to_owned(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(parameter).collect(),
            headers,
            body,
        })
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        String::from_utf8(line.to_vec()).ok()
    }

    /// Sends the reply; false if the client has gone.
    pub async fn send(&mut self, answer: &Answer) -> bool {
        self.send_part(answer, answer.body.len()).await
    }

    /// Sends the headers and the first bytes of the body.
    pub async fn send_part(&mut self, answer: &Answer, bytes: usize) -> bool {
        let mut head = format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", answer.status, answer.length);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let stream = self.stream.get_mut();
        let mut reply = head.into_bytes();
        if !self.headers_only {
            reply.extend(&answer.body[..bytes]);
        }
        stream.write_all(&reply).await.is_ok() && stream.flush().await.is_ok()
    }

    /// Ends the connection by a reset, as a machine does that has forgotten it.
    pub fn reset(&self) {
        drop(self.stream.get_ref().set_zero_linger());
    }
}

fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let text = |part: &str| decoded(&part.replace('+', " "));
    (text(name), text(value))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
