//! Amazon's S3 as moto plays it: a server of its own with one bucket.

use std::process::Stdio;
use std::time::Duration;

use super::server::free_port;
use super::tools::python_command;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// moto wants to know who asks, and believes it.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=any/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any";

/// S3 on a port of its own, which ends with this value.
pub struct S3Server {
    pub address: String,
    pub bucket: &'static str,
    http: reqwest::Client,
    _server: tokio::process::Child,
}

impl S3Server {
    /// With an empty bucket of this name; `None` when the tools are not installed.
    pub async fn start(bucket: &'static str) -> Option<Self> {
        let port = free_port();
        let mut command = python_command()?;
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let address = format!("http://127.0.0.1:{port}");
        let store = Self { address, bucket, http, _server: server.expect("moto starts") };
        let answers = async {
            while store.http.get(&store.address).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, answers).await.expect("moto answers");
        store.put("", Vec::new()).await;
        Some(store)
    }

    /// What tells a process to find this server, by the standard names.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.address.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "any".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
        ]
    }

    /// Puts an object; without a path, the bucket.
    pub async fn put(&self, path: &str, content: Vec<u8>) {
        let url = format!("{}/{}/{path}", self.address, self.bucket);
        let length = content.len();
        let request = self.http.put(url.trim_end_matches('/')).header("content-length", length).body(content);
        let reply = request.header("authorization", SIGNED).send().await.expect("moto answers");
        let status = reply.status();
        assert!(status.is_success(), "{path}: {status} {}", reply.text().await.unwrap_or_default());
    }
}
