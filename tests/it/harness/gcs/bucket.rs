//! Buckets, and what they hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// Smaller parts are refused, but for the last of an upload.
const PART_BYTES_MIN: usize = 5 << 20;

/// By their names.
pub type Buckets = BTreeMap<String, Bucket>;

pub struct Bucket {
    objects: BTreeMap<String, Object>,
    /// Contents that were replaced or deleted, by generation.
    old: HashMap<(String, u64), Object>,
    uploads: HashMap<String, Upload>,
    generation: u64,
    page_size: usize,
    pub forbids_writes: bool,
}

#[derive(Clone)]
pub struct Object {
    pub content: Arc<[u8]>,
    pub generation: u64,
    pub modified: DateTime<Utc>,
    /// Headers that come back with it.
    pub attributes: Vec<(String, String)>,
    /// For listings that are behind; absent if it has been there for long.
    since: Option<Instant>,
}

struct Upload {
    key: String,
    attributes: Vec<(String, String)>,
    parts: BTreeMap<u32, (String, Vec<u8>)>,
}

/// What a listing is asked for.
#[derive(Default)]
pub struct Wanted<'a> {
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    /// Only names after this one.
    pub start_after: &'a str,
    pub token: Option<&'a str>,
    pub page_size: Option<usize>,
    /// Objects that are younger are left out.
    pub behind: Duration,
}

#[derive(Default)]
pub struct Page {
    pub objects: Vec<(String, Object)>,
    pub prefixes: BTreeSet<String>,
    pub next: Option<String>,
}

impl Object {
    fn is_newer_than(&self, age: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < age)
    }

    pub fn e_tag(&self) -> String {
        format!("\"{:x}\"", self.generation)
    }
}

impl Bucket {
    pub fn new(page_size: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            old: HashMap::new(),
            uploads: HashMap::new(),
            generation: 1_700_000_000_000_000,
            page_size,
            forbids_writes: false,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    pub fn get_generation(&self, key: &str, generation: u64) -> Option<&Object> {
        let current = self.objects.get(key).filter(|object| object.generation == generation);
        current.or_else(|| self.old.get(&(key.to_owned(), generation)))
    }

    /// The generation of what is there, 0 if nothing is: what conditions are compared with.
    pub fn generation(&self, key: &str) -> u64 {
        self.get(key).map_or(0, |object| object.generation)
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn put(&mut self, key: &str, content: Arc<[u8]>, attributes: Vec<(String, String)>) -> Object {
        self.generation += 1;
        let (modified, since) = (Utc::now(), Some(Instant::now()));
        let object = Object { content, generation: self.generation, modified, attributes, since };
        if let Some(replaced) = self.objects.insert(key.to_owned(), object.clone()) {
            self.old.insert((key.to_owned(), replaced.generation), replaced);
        }
        object
    }

    /// An object that nobody has just written.
    pub fn put_long_ago(&mut self, key: &str, content: Arc<[u8]>) {
        self.put(key, content, Vec::new());
        if let Some(object) = self.objects.get_mut(key) {
            object.since = None;
        }
    }

    /// Whether there was such an object.
    pub fn delete(&mut self, key: &str) -> bool {
        let deleted = self.objects.remove(key);
        let existed = deleted.is_some();
        self.old.extend(deleted.map(|object| ((key.to_owned(), object.generation), object)));
        existed
    }

    pub fn begin_upload(&mut self, key: &str, attributes: Vec<(String, String)>) -> String {
        self.generation += 1;
        let id = format!("upload-{}", self.generation);
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), attributes, parts: BTreeMap::new() });
        id
    }

    /// The part's tag; `None` if there is no such upload.
    pub fn put_part(&mut self, key: &str, id: &str, number: u32, content: Vec<u8>) -> Option<String> {
        self.generation += 1;
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == key)?;
        let tag = format!("\"part-{:x}\"", self.generation);
        upload.parts.insert(number, (tag.clone(), content));
        Some(tag)
    }

    pub fn abort_upload(&mut self, id: &str) -> bool {
        self.uploads.remove(id).is_some()
    }

    /// Makes an object of the parts that are named, in the order of their numbers. `Err` is the status to answer.
    pub fn complete_upload(&mut self, key: &str, id: &str, named: &[(u32, String)]) -> Result<Object, u16> {
        let upload = self.uploads.get(id).filter(|upload| upload.key == key).ok_or(404_u16)?;
        let mut content = Vec::new();
        for (place, (number, tag)) in named.iter().enumerate() {
            let (known, part) = upload.parts.get(number).ok_or(400_u16)?;
            let too_small = part.len() < PART_BYTES_MIN && place + 1 < named.len();
            if known != tag || too_small || place > 0 && named[place - 1].0 >= *number {
                return Err(400);
            }
            content.extend(part);
        }
        let attributes = upload.attributes.clone();
        self.uploads.remove(id);
        Ok(self.put(key, content.into(), attributes))
    }

    pub fn list(&self, wanted: &Wanted<'_>) -> Page {
        let page_size = wanted.page_size.unwrap_or(self.page_size).min(self.page_size);
        let mut page = Page::default();
        let mut last = None;
        for (key, object) in &self.objects {
            let Some(rest) = key.strip_prefix(wanted.prefix) else { continue };
            let past_token = wanted.token.is_none_or(|token| past(key, token));
            if key.as_str() <= wanted.start_after || !past_token || object.is_newer_than(wanted.behind) {
                continue;
            }
            let folder = wanted.delimiter.and_then(|delimiter| {
                let end = rest.find(delimiter)? + delimiter.len();
                Some(format!("{}{}", wanted.prefix, &rest[..end]))
            });
            if folder.as_ref().is_some_and(|folder| page.prefixes.contains(folder)) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == page_size {
                page.next = last;
                break;
            }
            match folder {
                Some(folder) => {
                    last = Some(format!("folder:{folder}"));
                    page.prefixes.insert(folder);
                }
                None => {
                    last = Some(format!("object:{key}"));
                    page.objects.push((key.clone(), object.clone()));
                }
            }
        }
        page
    }
}

/// Whether a name comes after the page that ended with this token.
fn past(key: &str, token: &str) -> bool {
    match (token.strip_prefix("folder:"), token.strip_prefix("object:")) {
        (Some(folder), _) => key > folder && !key.starts_with(folder),
        (None, Some(last)) => key > last,
        (None, None) => false,
    }
}
