//! What the text of `--store` says.

use std::path::PathBuf;

use object_store::path::Path;
use url::Url;

use crate::error::StorageError;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Folder(PathBuf),
    Bucket { provider: Provider, bucket: String, prefix: Path },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Google,
    Amazon,
}

impl Address {
    pub fn parse(url: &Url) -> Result<Self, StorageError> {
        let bad = |reason: String| StorageError::StoreAddress { reason };
        // Each of them would be ignored, and somebody has meant something by it.
        let surplus = url.query().is_some() || url.fragment().is_some() || url.port().is_some();
        if surplus || !url.username().is_empty() || url.password().is_some() {
            return Err(bad(format!("{url}: only a scheme, a bucket and a path are understood")));
        }
        let provider = match url.scheme() {
            "file" => {
                let folder = url.to_file_path().map_err(|()| bad(format!("{url}: file:// needs an absolute path")))?;
                return Ok(Self::Folder(folder));
            }
            "gs" => Provider::Google,
            "s3" => Provider::Amazon,
            other => return Err(bad(format!("{url}: scheme {other} is not one of file, gs, s3"))),
        };
        let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
        let bucket = bucket.ok_or_else(|| bad(format!("{url}: {}:// needs a bucket", url.scheme())))?.to_owned();
        let prefix = Path::from_url_path(url.path()).map_err(|e| bad(format!("{url}: {e}")))?;
        Ok(Self::Bucket { provider, bucket, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<(&str, &str), &str>) {
        match (Address::parse(&text.parse().unwrap()), expect) {
            (Ok(Address::Folder(folder)), Ok(expect)) => assert_eq!((folder.to_str().unwrap(), ""), expect, "{text}"),
            (Ok(Address::Bucket { bucket, prefix, .. }), Ok(expect)) => {
                assert_eq!((bucket.as_str(), prefix.as_ref()), expect, "{text}");
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{text}: {error}"),
            (parsed, expect) => panic!("{text}: {parsed:?}, not {expect:?}"),
        }
    }

    #[test]
    fn an_address_is_a_folder_or_a_bucket_and_a_prefix() {
        check("file:///a/b", Ok(("/a/b", "")));
        check("gs://My_bucket.x", Ok(("My_bucket.x", "")));
        check("gs://b/", Ok(("b", "")));
        check("s3://b/p/q/", Ok(("b", "p/q")));
        check("s3://b/day%201/%C3%BC", Ok(("b", "day 1/ü")));
        check("gs://", Err("needs a bucket"));
        check("gs:///p", Err("needs a bucket"));
        check("https://b/p", Err("not one of"));
        check("s3://b/p?region=x", Err("only a scheme"));
        check("s3://key:secret@b/p", Err("only a scheme"));
        check("s3://b:9000/p", Err("only a scheme"));
        check("gs://b/p#1", Err("only a scheme"));
    }
}
