//! Objects of a bucket, from moto's S3.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::data::{assert_same, expected, held, lines, records};
use super::{import, run_import};
use crate::harness::{Server, ServerOptions, free_port, gzip, python_command, seed};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// moto wants to know who asks, and believes it.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=any/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any";

/// S3 on a port of its own, with an empty bucket.
struct Bucket {
    address: String,
    http: reqwest::Client,
    _server: tokio::process::Child,
}

impl Bucket {
    /// `None` when the tools are not installed.
    async fn start() -> Option<Self> {
        let port = free_port();
        let mut command = python_command()?;
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let address = format!("http://127.0.0.1:{port}");
        let bucket = Self { address, http, _server: server.expect("moto starts") };
        let answers = async {
            while bucket.http.get(&bucket.address).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, answers).await.expect("moto answers");
        bucket.put("", Vec::new()).await;
        Some(bucket)
    }

    /// Puts an object; without a path, the bucket.
    async fn put(&self, path: &str, content: Vec<u8>) {
        let url = format!("{}/history/{path}", self.address);
        let length = content.len();
        let request = self.http.put(url.trim_end_matches('/')).header("content-length", length).body(content);
        let reply = request.header("authorization", SIGNED).send().await.expect("moto answers");
        let status = reply.status();
        assert!(status.is_success(), "{path}: {status} {}", reply.text().await.unwrap_or_default());
    }
}

#[tokio::test]
async fn objects_below_a_prefix_are_a_source() {
    let Some(bucket) = Bucket::start().await else { return };
    let options = ServerOptions::never_flushing()
        .env("AWS_ENDPOINT", &bucket.address)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any");
    let server = Server::start(options).await;
    let records = records(seed(46), 3_000, 12);
    bucket.put("2024/a.ndjson", lines(&records[..1_000]).into_bytes()).await;
    bucket.put("2024/b/c.ndjson.gz", gzip(lines(&records[1_000..2_000]).as_bytes())).await;
    bucket.put("2024/d.json", lines(&records[2_000..]).into_bytes()).await;
    bucket.put("2024/_SUCCESS", Vec::new()).await;
    bucket.put("2025/other.ndjson", b"no events\n".to_vec()).await;

    let project = server.create_project("prefix").await;
    let summary = import(&server, &project, &["s3://history/2024"]).await;
    assert_eq!((&summary["files"], &summary["records"]), (&json!(3), &json!(3_000)), "{summary}");
    assert_same("a prefix", &held(&project).await, &expected(&records));
    assert_eq!(import(&server, &project, &["s3://history/2024"]).await["state"], "finished_before");

    let project = server.create_project("object").await;
    import(&server, &project, &["s3://history/2024/a.ndjson"]).await;
    assert_same("one object", &held(&project).await, &expected(&records[..1_000]));
    bucket.put("2024/a.ndjson", lines(&records[..2_000]).into_bytes()).await;
    let refused = run_import(&server, &project, &["s3://history/2024/a.ndjson"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("has changed"), "{refused:?}");
    let missing = run_import(&server, &project, &["s3://history/2023"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("holds no files"), "{missing:?}");
}
