//! A store that cannot be used is named at the start, with what to do about it.

use std::time::Duration;

use crate::harness::{BUCKET, GcsServer, S3Server, Server, ServerOptions, Start, free_port};

/// The server does not start, and says all of `words` in one line.
async fn check_refused(options: ServerOptions, words: &[&str]) {
    let mut server = Server::prepare(options.env("FOOTFALL_STORE_PATIENCE", 1));
    server.spawn();
    let Start::Ended(status) = server.start_ends(Duration::from_secs(60)).await else {
        panic!("it started: {words:?}")
    };
    let log = server.log();
    let errors = log.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>();
    let [error] = errors[..] else { panic!("one error: {log}") };
    assert!(status.code() == Some(1) && words.iter().all(|word| error.contains(word)), "{words:?}, {status}: {error}");
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_named_with_the_fix() {
    let store = GcsServer::start().await;
    let options = || ServerOptions::never_flushing().on_gcs(&store, "p");
    let nowhere = format!("127.0.0.1:{}", free_port());
    check_refused(
        options().env("FOOTFALL_STORE", "gs://another-bucket/p"),
        &["gs://another-bucket/p has no such bucket", "create the bucket"],
    )
    .await;
    let base = format!("http://{nowhere}");
    let named = format!("gs://{BUCKET}/p cannot be reached");
    check_refused(options().env("GOOGLE_BASE_URL", base), &[&named, "GOOGLE_BASE_URL"]).await;
    let nobody = options().env("GCE_METADATA_HOST", &nowhere).env("GCE_METADATA_IP", &nowhere);
    check_refused(nobody, &["gets no credentials", "GOOGLE_APPLICATION_CREDENTIALS"]).await;
    // Past the metadata server, with nothing to show.
    let unsigned = options().env("GOOGLE_SKIP_SIGNATURE", "true");
    check_refused(unsigned, &["does not know the credentials", "GOOGLE_APPLICATION_CREDENTIALS"]).await;
    store.forbids_writes(true);
    check_refused(options(), &["may not be written", "roles/storage.objectAdmin"]).await;
    store.forbids_writes(false);
    let mut server = Server::start(options()).await;
    server.stop().await;

    for (address, words) in [
        ("ftp://host/p", &["ftp", "not one of file, gs, s3"][..]),
        ("gs://b/p?x=1", &["only a scheme, a bucket and a path"]),
        ("s3://", &["needs a bucket"]),
    ] {
        check_refused(options().env("FOOTFALL_STORE", address), words).await;
    }
}

#[tokio::test]
async fn an_s3_bucket_that_cannot_be_used_is_named_with_the_fix() {
    let Some(store) = S3Server::start("tables").await else { return };
    let options = || ServerOptions::never_flushing().on_s3(&store, "p");
    let missing = options().env("FOOTFALL_STORE", "s3://another/p");
    check_refused(missing, &["s3://another/p has no such bucket", "create the bucket"]).await;
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let unreachable = options().env("AWS_ENDPOINT_URL", nowhere);
    check_refused(unreachable, &["s3://tables/p cannot be reached", "AWS_ENDPOINT_URL"]).await;
}
