//! Amazon's files of keys, `~/.aws/credentials` and `~/.aws/config`: the part of its standard chain that the client
//! leaves out.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

const FILES: [(&str, &str); 2] =
    [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ("AWS_CONFIG_FILE", ".aws/config")];
const KEYS: [(&str, AmazonS3ConfigKey); 4] = [
    ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
    ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
    ("aws_session_token", AmazonS3ConfigKey::Token),
    ("region", AmazonS3ConfigKey::Region),
];

/// `builder`, with what the profile of the environment adds to the environment itself. Keys are taken together or not
/// at all: half of them from here and half from there fit nothing.
pub(super) fn with_profile(mut builder: AmazonS3Builder) -> AmazonS3Builder {
    let profile = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let mut settings = BTreeMap::new();
    for (variable, usual) in FILES {
        let usual = || Some(PathBuf::from(env::var_os("HOME")?).join(usual));
        let path = env::var_os(variable).map(PathBuf::from).or_else(usual);
        let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        for (key, value) in section(&text, &profile) {
            settings.entry(key).or_insert(value);
        }
    }
    let keys_given = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some();
    for (name, key) in KEYS {
        let wanted = match key {
            AmazonS3ConfigKey::Region => builder.get_config_value(&key).is_none(),
            _ => !keys_given,
        };
        if let Some(value) = settings.remove(name).filter(|_| wanted) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// The settings of `[profile]` or `[profile profile]`.
fn section(text: &str, profile: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            inside = name == profile || name.strip_prefix("profile ").is_some_and(|name| name.trim() == profile);
        } else if !line.starts_with(['#', ';', ' ', '\t'])
            && inside
            && let Some((key, value)) = line.split_once('=')
        {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_profile() {
        let text = "[default]\naws_access_key_id = AK\n# aws_access_key_id = no\nAWS_Secret_Access_Key=a=b\n\
                    s3 =\n  region = nested\n\n[profile other]\nregion = eu-central-1\n[other2]\nregion = x\n";
        let expect = [("aws_access_key_id", "AK"), ("aws_secret_access_key", "a=b"), ("s3", "")];
        assert!(section(text, "default").iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expect));
        assert_eq!(section(text, "other")["region"], "eu-central-1");
        assert_eq!(section(text, "other2")["region"], "x");
        assert!(section(text, "third").is_empty() && section("", "default").is_empty());
    }
}
