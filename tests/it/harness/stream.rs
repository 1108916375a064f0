//! A live view's messages as a browser's `EventSource` would hand them out.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

/// Far more than any message takes; a stream that says nothing for so long says nothing more.
const MESSAGE_WITHIN: Duration = Duration::from_secs(60);

/// One message, or a heartbeat (no name, no data).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Empty for an event.
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

pub struct LiveStream {
    response: Response,
    unread: Vec<u8>,
    /// As a browser keeps it: that of the last message or heartbeat that had one.
    pub last_id: Option<String>,
}

impl LiveStream {
    /// Connects. From the reply's head on nothing passes the view by.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200, "a stream was expected");
        Self { response, unread: Vec::new(), last_id: None }
    }

    /// The next event or named message; `None` at the stream's end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let message = self.part().await?;
            if message.data != Value::Null {
                return Some(message);
            }
        }
    }

    /// As [`Self::next`], where an event has to come.
    pub async fn event(&mut self) -> Value {
        let message = self.next().await.expect("the stream goes on");
        assert_eq!(message.name, "", "an event was expected: {message:?}");
        message.data
    }

    /// The next `count` events.
    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    async fn part(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let part: Vec<u8> = self.unread.drain(..end + 2).collect();
                let message = parse(&String::from_utf8(part).expect("the stream is UTF-8"));
                if message.id.is_some() {
                    self.last_id.clone_from(&message.id);
                }
                return Some(message);
            }
            let chunk = timeout(MESSAGE_WITHIN, self.response.chunk()).await.expect("the stream is silent");
            self.unread.extend_from_slice(&chunk.ok().flatten()?);
        }
    }
}

fn parse(part: &str) -> Message {
    let mut message = Message::default();
    for line in part.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => message.name = name.to_owned(),
            Some(("id", id)) => message.id = Some(id.to_owned()),
            Some(("data", data)) => message.data = serde_json::from_str(data).expect("data is JSON"),
            _ => {}
        }
    }
    message
}
