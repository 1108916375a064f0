//! Stores that a command is told of beside the one it works on: a folder or an address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use footfall_engine::{StorePolicy, care};
use object_store::ObjectStore;
use percent_encoding::percent_decode_str;
use url::Url;

use super::CommandError;

/// What a person wrote for a store.
pub enum Place {
    Folder(PathBuf),
    Address(Url),
}

impl Place {
    pub fn of(text: &str) -> Result<Self, CommandError> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "gs" | "s3") => Ok(Self::Address(url)),
            Ok(url) if url.scheme() == "file" => match url.to_file_path() {
                Ok(folder) => Ok(Self::Folder(folder)),
                Err(()) => Err(CommandError::usage(format!("{text}: file:// needs an absolute path"))),
            },
            Ok(url) if text.contains("://") => {
                Err(CommandError::usage(format!("scheme {} is not one of file, gs, s3", url.scheme())))
            }
            _ => Ok(Self::Folder(PathBuf::from(text))),
        }
    }

    /// The store, to write to: a folder that is missing is made, a bucket is tried out.
    pub async fn to_write(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
        let store = self.create(policy)?;
        if let Self::Address(url) = self {
            care::probe(&store, url).await?;
        }
        Ok(store)
    }

    /// The store, to read from: it must be there.
    pub async fn to_read(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
        let store = self.existing(policy)?;
        if let Self::Address(url) = self {
            care::reach(&store, url).await?;
        }
        Ok(store)
    }

    /// Whether all that is in it is in `outer` as well.
    pub fn is_within(&self, outer: &Self) -> bool {
        match (self, outer) {
            (Self::Folder(inner), Self::Folder(outer)) => real(inner).starts_with(real(outer)),
            (Self::Address(inner), Self::Address(outer)) => {
                let same_bucket = (inner.scheme(), inner.host_str()) == (outer.scheme(), outer.host_str());
                same_bucket && parts(inner).starts_with(&parts(outer))
            }
            _ => false,
        }
    }

    /// The store, which is made if it is a folder that is missing.
    fn create(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
        match self {
            Self::Folder(folder) => folder_store(folder, policy),
            Self::Address(url) => footfall_engine::open_store(Path::new(""), Some(url), policy).map_err(unusable),
        }
    }

    /// The store, which must be there.
    fn existing(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
        match self {
            Self::Folder(folder) if !folder.is_dir() => {
                Err(CommandError::failed(format!("{} is no folder", folder.display())))
            }
            _ => self.create(policy),
        }
    }
}

/// The store in a folder.
pub fn folder_store(folder: &Path, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
    let absolute = std::path::absolute(folder).map_err(unusable)?;
    let url = Url::from_directory_path(&absolute);
    let url = url.map_err(|()| CommandError::usage(format!("{} is no path of a folder", folder.display())))?;
    footfall_engine::open_store(folder, Some(&url), policy).map_err(unusable)
}

/// Where a folder is once links are followed, also if it is still to be made.
fn real(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let missing = there.as_ref().and_then(|(part, _)| absolute.strip_prefix(part).ok());
    match (&there, missing) {
        (Some((_, real)), Some(missing)) => real.join(missing),
        _ => absolute.clone(),
    }
}

/// The names that a prefix within a bucket is made of.
fn parts(url: &Url) -> Vec<String> {
    let decoded = percent_decode_str(url.path()).decode_utf8_lossy();
    decoded.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn unusable(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format!("cannot open the store: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inner: &str, outer: &str, expect: bool) {
        let place = |text: &str| Place::of(text).unwrap();
        assert_eq!(place(inner).is_within(&place(outer)), expect, "{inner} within {outer}");
    }

    #[test]
    fn a_place_is_within_itself_and_what_is_above() {
        check("gs://b/p/q", "gs://b/p", true);
        check("gs://b/p", "gs://b/p/", true);
        check("gs://b/p", "gs://b", true);
        check("gs://b/%70/q", "gs://b/p", true);
        check("gs://b/pq", "gs://b/p", false);
        check("gs://b", "gs://b/p", false);
        check("s3://b/p", "gs://b", false);
        check("gs://c/p", "gs://b", false);
        let dir = tempfile::tempdir().unwrap();
        let within = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(within("store")).unwrap();
        std::os::unix::fs::symlink(within("store"), within("link")).unwrap();
        check(&within("link/new"), &within("store"), true);
        check(&within("stores"), &within("store"), false);
        check(&format!("file://{}", within("store")), &within("link"), true);
        check("gs://b/p", "/", false);
    }
}
