//! What an import reads: files of folders, objects of buckets, standard input, in an order that does not change.
//!
//! A source has a name within the import, which goes into the ids of records that bring none, and a stamp by which a
//! later run tells whether it is still the same. Standard input is copied into the import's folder first and is a file
//! like any other from then on: nothing else could be read twice, or go on after a kill.

mod input;
mod local;
mod remote;
mod standard_input;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::commands::CommandError;
use crate::config::Settings;

pub use input::{Input, open};
pub use remote::Bucket;
pub use standard_input::{COPY as STANDARD_INPUT_COPY, Received, receive};

/// One file.
#[derive(Clone, Debug)]
pub struct Source {
    pub place: Place,
    /// Path within its folder or prefix, without `.gz` or `.zst`: neither moving the folder nor compressing the file
    /// makes its records other events.
    pub name: String,
    pub stamp: Stamp,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum Place {
    File(PathBuf),
    Object(Bucket, object_store::path::Path),
}

/// What is compared when an import goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// As a message names it.
    pub address: String,
    /// Size as stored.
    pub bytes: u64,
    /// Nanoseconds since the epoch; 0 where the address names the content.
    pub modified: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// All sources that the arguments mean, in their order, and how many files were left out because of their names.
pub async fn find(arguments: &[PathBuf], settings: &Settings) -> Result<(Vec<Source>, usize), CommandError> {
    let data_dir = &settings.data_dir;
    let (mut sources, mut left_out) = (Vec::new(), 0);
    for argument in arguments {
        let found = match argument.to_str().and_then(|text| url::Url::parse(text).ok()) {
            Some(url) if matches!(url.scheme(), "gs" | "s3") => remote::find(&url, &settings.store_policy()).await?,
            Some(url) if url.scheme() == "file" => {
                let path = url.to_file_path();
                let path = path.map_err(|()| CommandError::usage(format!("{url} is not an absolute path")))?;
                local::find(&path, data_dir)?
            }
            Some(url) if argument.to_str().is_some_and(|text| text.contains("://")) => {
                return Err(CommandError::usage(format!("{url} is not one of gs://, s3://, file:// or a path")));
            }
            _ => local::find(argument, data_dir)?,
        };
        sources.extend(found.sources);
        left_out += found.left_out;
    }
    tell_apart(&mut sources);
    Ok((sources, left_out))
}

/// What one argument means.
#[derive(Default)]
struct Found {
    sources: Vec<Source>,
    left_out: usize,
}

/// Names are unique within an import: equal records at equal places of two files are two events.
fn tell_apart(sources: &mut [Source]) {
    let mut taken: HashSet<String> = HashSet::new();
    for source in sources {
        let mut number = 1;
        while !taken.insert(source.name.clone()) {
            number += 1;
            let plain = source.name.rsplit_once('#').map_or(source.name.as_str(), |(plain, _)| plain);
            source.name = if number == 2 { format!("{}#2", source.name) } else { format!("{plain}#{number}") };
        }
    }
}

/// Whether a name says that the file is not for readers: `.hidden`, and what Spark and Hive leave beside their data.
fn is_left_out(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn plain_name(name: &str) -> String {
    [".gz", ".zst", ".zstd"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).to_owned()
}

pub fn unreadable(what: impl std::fmt::Display, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot read {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        let stamp = Stamp { address: name.to_owned(), bytes: 0, modified: 0, etag: None };
        Source { place: Place::File(PathBuf::from(name)), name: name.to_owned(), stamp }
    }

    #[test]
    fn equal_names_are_told_apart() {
        let mut sources = ["a", "b", "a", "a", "a#2"].map(source);
        tell_apart(&mut sources);
        assert_eq!(sources.map(|source| source.name), ["a", "b", "a#2", "a#3", "a#2#2"]);
    }

    #[test]
    fn compression_is_no_part_of_a_name() {
        assert_eq!(["a.csv.gz", "a.csv.zst", "a.csv", "gz"].map(plain_name), ["a.csv", "a.csv", "a.csv", "gz"]);
    }
}
