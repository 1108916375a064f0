//! HTTP/1.1 by hand, on one connection: a client library mends what it can (it opens another connection, it sends
//! again), and here nothing may need mending.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::api::Project;

/// Far more than any reply takes.
const REPLY_WITHIN: Duration = Duration::from_secs(60);

/// A reply as it came.
#[derive(Clone, Debug)]
pub struct RawReply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl RawReply {
    /// The server will close the connection.
    pub fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nconnection: close")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// As [`Self::open`], with hardly a buffer for what comes.
    pub async fn open_narrow(address: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let address = address.parse().map_err(io::Error::other)?;
        Ok(Self { stream: socket.connect(address).await?, unread: Vec::new() })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one reply; an error if the connection ends before it does.
    pub async fn reply(&mut self) -> io::Result<RawReply> {
        timeout(REPLY_WITHIN, self.read_reply()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    pub async fn ask(&mut self, request: &[u8]) -> io::Result<RawReply> {
        self.send(request).await?;
        self.reply().await
    }

    /// Whether the server closes the connection within the time, without a further word.
    pub async fn ends_within(&mut self, patience: Duration) -> bool {
        let mut rest = [0; 1024];
        // A reset is an end, too: bytes of ours had not been read.
        matches!(timeout(patience, self.stream.read(&mut rest)).await, Ok(Ok(0) | Err(_)))
    }

    /// Whether nothing has come, not even the end.
    pub fn is_open_and_silent(&self) -> bool {
        let mut rest = [0; 1];
        matches!(self.stream.try_read(&mut rest), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn read_reply(&mut self) -> io::Result<RawReply> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(&self.unread.drain(..end).collect::<Vec<_>>()).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head}")))?;
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        let body = match header("content-length:").and_then(|length| length.parse().ok()) {
            Some(length) => self.take(length).await?,
            None if header("transfer-encoding:").as_deref() == Some("chunked") => self.chunks().await?,
            None => Vec::new(),
        };
        Ok(RawReply { status, head, body })
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.unread.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end + 2,
                    None => self.more().await?,
                }
            };
            let line = self.unread.drain(..end).collect::<Vec<_>>();
            let length = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(io::Error::other)?;
            let chunk = self.take(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.more().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Bytes of a request of the project's service account.
pub fn raw_request(project: &Project, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let account = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", project.username, project.secret));
    let head = format!(
        "{method} {path}{}project_id={} HTTP/1.1\r\nhost: footfall\r\nauthorization: Basic {account}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        if path.contains('?') { '&' } else { '?' },
        project.id,
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

/// Bytes of a request without credentials or body.
pub fn raw_get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: footfall\r\n\r\n").into_bytes()
}
