//! What a bucket must be able to do, tried out before anything rests on it.
//!
//! One small object is created, once for all starts. Creating it a second time must fail: a store that takes no notice of
//! the condition would let two writers commit one version of a table. And it is read and listed, which are rights of
//! their own.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::error::{StorageError, chain};

/// Stays in every bucket that was tried out.
pub(crate) const OBJECT: &str = "footfall-store.json";

/// Which right was tried.
#[derive(Clone, Copy)]
enum Act {
    Write,
    Read,
    List,
}

pub(super) async fn probe(store: &dyn ObjectStore, url: &Url) -> Result<(), StorageError> {
    let failed = |act: Act, error: &Error| unusable(url, act, error);
    for first in [true, false] {
        match create(store).await {
            Err(Error::AlreadyExists { .. }) => break,
            Err(error) => return Err(failed(Act::Write, &error)),
            Ok(()) if first => {}
            Ok(()) => {
                return Err(StorageError::StoreUnusable {
                    store: url.to_string(),
                    what: "replaces an object that was to be created only if there was none",
                    fix: "use a store that knows conditional writes (If-None-Match); two writers would destroy each \
                          other's tables here"
                        .to_owned(),
                });
            }
        }
    }
    let path = Path::from(OBJECT);
    let read = async { store.get(&path).await?.bytes().await };
    read.await.map_err(|error| failed(Act::Read, &error))?;
    let listed: Result<Vec<_>, _> = store.list(Some(&Path::from("projects"))).try_collect().await;
    listed.map_err(|error| failed(Act::List, &error))?;
    Ok(())
}

/// Finds out whether a bucket is there and may be listed. Writes nothing.
pub(super) async fn reach(store: &dyn ObjectStore, url: &Url) -> Result<(), StorageError> {
    let first = store.list(None).try_next().await;
    first.map(drop).map_err(|error| unusable(url, Act::List, &error))
}

/// Other content each time, so that the answer can only be about this very try.
async fn create(store: &dyn ObjectStore) -> Result<(), Error> {
    let content = json!({"format": 1, "by": "footfall", "id": Uuid::new_v4()}).to_string();
    store.put_opts(&Path::from(OBJECT), content.into(), PutOptions::from(PutMode::Create)).await.map(drop)
}

fn unusable(url: &Url, act: Act, error: &Error) -> StorageError {
    let google = url.scheme() == "gs";
    let (what, fix) = match (error, act) {
        (Error::NotFound { .. }, _) => ("has no such bucket", "create the bucket, or correct the address"),
        (Error::PermissionDenied { .. }, act) => {
            let what = match act {
                Act::Write => "may not be written",
                Act::Read => "may not be read",
                Act::List => "may not be listed",
            };
            let fix = match google {
                true => "give the account the role Storage Object Admin (roles/storage.objectAdmin) on the bucket",
                false => {
                    "allow the account s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket on the bucket"
                }
            };
            (what, fix)
        }
        (Error::Unauthenticated { .. }, _) => ("does not know the credentials", credentials(google)),
        _ if speaks_of_credentials(error) => ("gets no credentials to show", credentials(google)),
        _ => (
            "cannot be reached",
            match google {
                true => "check the network, and GOOGLE_BASE_URL if it is set",
                false => "check the network, AWS_REGION, and AWS_ENDPOINT_URL if it is set",
            },
        ),
    };
    StorageError::StoreUnusable { store: url.to_string(), what, fix: format!("{fix} ({})", told(error)) }
}

/// In a line, for the clients' texts hold whole replies.
fn told(error: &Error) -> String {
    chain(error).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn credentials(google: bool) -> &'static str {
    match google {
        true => {
            "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where a service account is attached; `gcloud auth \
             application-default login` does on a desk"
        }
        false => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached",
    }
}

/// The clients have no variant for a token that could not be had.
fn speaks_of_credentials(error: &Error) -> bool {
    let text = told(error).to_ascii_lowercase();
    ["token", "credential", "metadata"].iter().any(|word| text.contains(word))
}
