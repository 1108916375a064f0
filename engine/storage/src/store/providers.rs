//! The providers' clients, with what the environment says.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::StorePolicy;
use super::address::Provider;
use super::profile::with_profile;
use crate::error::StorageError;

/// Times that a client repeats a request by itself. Few: all but parts of uploads and tokens is tried again above, where
/// it is known how all other calls fare.
const RETRIES_MAX: usize = 2;

pub(super) fn client(
    provider: Provider,
    bucket: &str,
    policy: &StorePolicy,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let unusable = |e: object_store::Error| StorageError::StoreAddress { reason: e.to_string() };
    Ok(match provider {
        Provider::Google => Arc::new(google(bucket, policy).build().map_err(unusable)?),
        Provider::Amazon => Arc::new(amazon(bucket, policy).build().map_err(unusable)?),
    })
}

fn google(bucket: &str, policy: &StorePolicy) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry(policy));
    if let Some(timeout) = timeout(policy) {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), timeout);
    }
    if builder.get_config_value(&GoogleConfigKey::SkipSignature).is_some_and(|skip| is_true(&skip)) {
        // The client heeds it for reads only and would ask the metadata server for a token to write with.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    builder
}

fn amazon(bucket: &str, policy: &StorePolicy) -> AmazonS3Builder {
    let mut builder = with_profile(AmazonS3Builder::from_env()).with_bucket_name(bucket).with_retry(retry(policy));
    if let Some(timeout) = timeout(policy) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), timeout);
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    if endpoint.iter().any(|key| builder.get_config_value(key).is_some_and(|url| url.starts_with("http://"))) {
        // Whoever writes http:// means it.
        builder = builder.with_allow_http(true);
    }
    builder
}

fn retry(policy: &StorePolicy) -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES_MAX, retry_timeout: policy.patience }
}

fn timeout(policy: &StorePolicy) -> Option<String> {
    policy.request_timeout.map(|timeout| format!("{} ms", timeout.as_millis()))
}

/// As the clients read it.
fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "on" | "yes" | "y" | "t")
}
