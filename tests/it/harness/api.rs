//! A project as its owner holds it: credentials, and the calls that they open.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// A reply in full.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.expect("the server answers")
    }

    /// `Err` when the connection broke: the server was killed under the request.
    pub async fn try_of(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        let reply = request.send().await?;
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Ok(Self { status, headers, body: reply.bytes().await?.to_vec() })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "expected success: {}", self.text());
        self
    }
}

/// The rows of a `/v1/sql` answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn from_json(body: &Value) -> Self {
        let columns = body["columns"].as_array().unwrap_or_else(|| panic!("no columns in {body}"));
        let rows = body["rows"].as_array().unwrap_or_else(|| panic!("no rows in {body}"));
        Self {
            columns: columns.iter().map(|column| column["name"].as_str().unwrap_or_default().to_owned()).collect(),
            rows: rows.iter().map(|row| row.as_array().expect("a row is a list").clone()).collect(),
        }
    }

    /// The one value of a one-row, one-column answer.
    pub fn single(&self) -> &Value {
        assert_eq!((self.rows.len(), self.columns.len()), (1, 1), "one value was expected: {self:?}");
        &self.rows[0][0]
    }

    pub fn int(&self) -> i64 {
        self.single().as_i64().unwrap_or_else(|| panic!("not an integer: {self:?}"))
    }
}

#[derive(Clone, Debug)]
pub struct Project {
    pub id: i64,
    pub name: String,
    pub token: String,
    pub api_secret: String,
    pub username: String,
    pub secret: String,
    base: String,
    http: Client,
}

impl Project {
    /// From what `footfall project create --json` prints.
    pub fn from_created(created: &Value, base: String, http: Client) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("missing in {created}")).to_owned();
        let account = &created["service_account"];
        Self {
            id: created["project_id"].as_i64().unwrap_or_else(|| panic!("no integer project_id in {created}")),
            name: text(&created["name"]),
            token: text(&created["token"]),
            api_secret: text(&created["api_secret"]),
            username: text(&account["username"]),
            secret: text(&account["secret"]),
            base,
            http,
        }
    }

    /// A request without credentials.
    pub fn anonymous(&self, method: Method, path_and_query: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path_and_query}", self.base))
    }

    /// A request of the project's service account, which names the project too.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path)
            .basic_auth(&self.username, Some(&self.secret))
            .query(&[("project_id", self.id.to_string())])
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        Reply::of(self.request(Method::GET, path).query(query)).await
    }

    /// `/track` with the events as JSON; the token is added to each.
    pub async fn track(&self, events: &[Value]) -> Reply {
        let stamped = events.iter().map(|event| self.with_token(event)).collect::<Vec<_>>();
        Reply::of(self.anonymous(Method::POST, "/track").json(&stamped)).await
    }

    pub fn import_request(&self, events: &[Value]) -> RequestBuilder {
        self.request(Method::POST, "/import").query(&[("strict", "1")]).json(events)
    }

    /// Strict import, in batches of the largest size allowed; every record has to be taken.
    pub async fn import(&self, events: &[Value]) {
        for batch in events.chunks(2_000) {
            let reply = Reply::of(self.import_request(batch)).await.ok();
            assert_eq!(reply.json()["num_records_imported"], batch.len(), "a batch is taken whole");
        }
    }

    /// Export of whole days as rows.
    pub async fn export(&self, from: &str, to: &str, more: &[(&str, &str)]) -> Vec<Value> {
        let reply = self.export_reply(from, to, more).await.ok();
        reply.text().split_terminator('\n').map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    pub async fn export_reply(&self, from: &str, to: &str, more: &[(&str, &str)]) -> Reply {
        let request = self.request(Method::GET, "/api/2.0/export").query(&[("from_date", from), ("to_date", to)]);
        Reply::of(request.query(more)).await
    }

    pub async fn segmentation_reply(&self, query: &[(&str, &str)]) -> Reply {
        self.get("/api/query/segmentation", query).await
    }

    pub async fn segmentation(&self, query: &[(&str, &str)]) -> Value {
        self.segmentation_reply(query).await.ok().json()
    }

    pub fn sql_request(&self, query: &str, params: &[Value]) -> RequestBuilder {
        self.request(Method::POST, "/v1/sql").json(&json!({"query": query, "params": params}))
    }

    pub async fn sql_reply(&self, query: &str) -> Reply {
        Reply::of(self.sql_request(query, &[])).await
    }

    pub async fn sql(&self, query: &str) -> Table {
        let reply = self.sql_reply(query).await;
        assert_eq!(reply.status, 200, "{query}\n{}", reply.text());
        Table::from_json(&reply.json())
    }

    pub async fn evaluate(&self, body: &Value) -> Reply {
        Reply::of(self.request(Method::POST, "/v1/expressions/evaluate").json(body)).await
    }

    /// The record as `/track` wants it.
    pub fn with_token(&self, event: &Value) -> Value {
        let mut event = event.clone();
        event["properties"]["token"] = json!(self.token);
        event
    }
}
