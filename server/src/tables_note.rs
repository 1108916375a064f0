//! `store.url` in a data directory: where the tables are that its log belongs to, if not beside it.
//!
//! A log and its tables go together: opened beside other tables, it would be written out into those. So whoever has started
//! a server with `--store` need not repeat that for every command, and cannot forget it.

use std::io;
use std::path::Path;

use url::Url;

use crate::commands::CommandError;
use crate::config::Settings;

const FILE: &str = "store.url";

/// `settings`, with the store that the data directory has in mind unless another is named.
pub fn recall(settings: Settings) -> Result<Settings, CommandError> {
    if settings.store.is_some() {
        return Ok(settings);
    }
    let path = settings.data_dir.join(FILE);
    let store = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let unreadable =
                |e: url::ParseError| CommandError::failed(format!("{} holds no address: {e}", path.display()));
            Some(text.trim().parse::<Url>().map_err(unreadable)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(CommandError::failed(format!("cannot read {}: {error}", path.display()))),
    };
    Ok(Settings { store, ..settings })
}

/// Notes the store that a data directory was opened with. For the process that holds it.
pub fn remember(settings: &Settings) {
    let Some(store) = &settings.store else { return };
    if let Err(error) = write(&settings.data_dir, store) {
        // A disk that is full or read-only is for others to complain of.
        tracing::warn!(%error, "the store's address cannot be noted in the data directory");
    }
}

fn write(data_dir: &Path, store: &Url) -> io::Result<()> {
    let (path, text) = (data_dir.join(FILE), format!("{store}\n"));
    if std::fs::read_to_string(&path).is_ok_and(|noted| noted == text) {
        return Ok(());
    }
    let staged = data_dir.join(format!("{FILE}.new"));
    std::fs::write(&staged, text)?;
    std::fs::rename(&staged, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_remembered_until_another_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let with = |store: Option<&str>| {
            let store = store.map(|store| store.parse().unwrap());
            Settings { data_dir: dir.path().to_owned(), store, ..Settings::default() }
        };
        let recalled = |store: Option<&str>| recall(with(store)).unwrap().store.map(String::from);
        assert_eq!(recalled(None), None);
        remember(&with(None));
        assert_eq!(recalled(None), None);
        for store in ["gs://b/p", "s3://b/p"] {
            remember(&with(Some(store)));
            assert_eq!(recalled(None).as_deref(), Some(store));
        }
        assert_eq!(recalled(Some("file:///x")).as_deref(), Some("file:///x"));
        std::fs::write(dir.path().join(FILE), "nowhere").unwrap();
        assert!(recall(with(None)).err().unwrap().to_string().contains("store.url holds no address"));
    }
}
