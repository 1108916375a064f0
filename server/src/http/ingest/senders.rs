//! Whose the records of a request are: each names its project by a token, and all of a request nearly always the same.

use std::collections::HashMap;
use std::sync::Arc;

use footfall_engine::Error;
use futures::future::try_join_all;

use crate::projects::Project;
use crate::state::AppState;

pub(super) struct Senders {
    /// One for each token that occurs, in order of appearance; `None` is a token of no project.
    pub projects: Vec<Option<Arc<Project>>>,
    /// For each record the place of its project in `projects`; `None` is a record without a token.
    pub of_item: Vec<Option<usize>>,
}

impl Senders {
    /// Looks up the tokens of a request's records, given in the order of the records.
    pub async fn find<'t>(
        state: &AppState,
        tokens_of_items: impl Iterator<Item = Option<&'t str>>,
    ) -> Result<Self, Error> {
        let mut tokens: Vec<&str> = Vec::new();
        let mut known = HashMap::new();
        let of_item = tokens_of_items
            .map(|token| {
                let token = token?;
                match tokens.last() {
                    Some(last) if *last == token => Some(tokens.len() - 1),
                    _ => Some(*known.entry(token).or_insert_with(|| {
                        tokens.push(token);
                        tokens.len() - 1
                    })),
                }
            })
            .collect();
        // All at once: unknown tokens then share one look at the registry.
        let projects = try_join_all(tokens.into_iter().map(|token| state.projects.by_token(token))).await?;
        Ok(Self { projects, of_item })
    }
}
