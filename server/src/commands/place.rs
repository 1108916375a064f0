//! Stores that a command is told of beside the one it works on: a folder or an address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use footfall_engine::StorePolicy;
use object_store::ObjectStore;
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

    /// The store, which is made if it is a folder that is missing.
    pub fn create(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
        match self {
            Self::Folder(folder) => folder_store(folder, policy),
            Self::Address(url) => footfall_engine::open_store(Path::new(""), Some(url), policy).map_err(unusable),
        }
    }

    /// The store, which must be there.
    pub fn existing(&self, policy: &StorePolicy) -> Result<Arc<dyn ObjectStore>, CommandError> {
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

fn unusable(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format!("cannot open the store: {error}"))
}
