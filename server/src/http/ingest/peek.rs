//! Whose a request seems to be, told from its credentials or the first kilobytes of its body, before it is decoded.
//!
//! Only admission relies on it: who shares a queue with whom. What a request may do is decided later, from all of it.
//! Tokens are public, so somebody may send garbage under a project's token; that is then this project's garbage.

use std::io::Read;

use axum::http::HeaderMap;
use flate2::read::MultiGzDecoder;
use footfall_model::ProjectId;
use memchr::memmem;

use super::body::PREFIX_BYTES;
use super::wire::{Encoding, Envelope, Params, form_data, from_base64, is_form, is_json};
use crate::admission::Tenant;
use crate::auth;
use crate::state::AppState;

/// Texts that look like tokens are tried up to this many.
const TRIES_MAX: usize = 8;
const TOKEN_LEN: usize = 32;

/// By the credentials in headers and query string, as `/import` takes them.
pub(super) fn by_credentials(state: &AppState, headers: &HeaderMap, query: &str) -> Option<Tenant> {
    let mut params = Params::default();
    params.extend(query.as_bytes());
    let asked = || params.get("project_id")?.trim().parse().ok().map(ProjectId);
    let projects = &state.projects;
    if let Some(token) = auth::bearer(headers) {
        return state
            .local_token
            .matches(token)
            .then(asked)?
            .and_then(|id| projects.known_by_id(id))
            .map(Tenant::Project);
    }
    let found = match auth::basic_credentials(headers) {
        Some(auth::Credentials { username, password: Some(secret) }) => {
            let account = projects.known_account(&username, &secret)?;
            let named = asked().filter(|id| account.may_access(*id));
            account.only_project().or(named).and_then(|id| projects.known_by_id(id))
        }
        Some(auth::Credentials { username, password: None }) => {
            projects.known_by_token(&username).or_else(|| projects.known_by_api_secret(&username))
        }
        None => params.get("api_key").and_then(|key| projects.known_by_api_secret(key.trim())),
    };
    found.map(Tenant::Project)
}

/// By the first token that names a project, in whatever form the data comes.
pub(super) fn by_token(state: &AppState, envelope: &Envelope, prefix: &[u8]) -> Tenant {
    let found = in_text(state, &plain_prefix(envelope, prefix));
    found.map_or(Tenant::Unknown, Tenant::Project)
}

/// The beginning of the JSON text.
fn plain_prefix(envelope: &Envelope, body: &[u8]) -> Vec<u8> {
    let body = head(body);
    if envelope.get || body.is_empty() {
        return unpacked(form_data(head(envelope.query.as_bytes())).unwrap_or_default());
    }
    let unzipped;
    let body = match envelope.encoding {
        Encoding::Plain => body,
        Encoding::Gzip => {
            let mut plain = Vec::with_capacity(PREFIX_BYTES);
            // The prefix ends in the middle: what came out before that is what is wanted.
            let _ = MultiGzDecoder::new(body).take(PREFIX_BYTES as u64).read_to_end(&mut plain);
            unzipped = plain;
            &unzipped
        }
        Encoding::Unknown => return Vec::new(),
    };
    if is_form(envelope, body) { unpacked(form_data(body).unwrap_or_default()) } else { unpacked(body.to_vec()) }
}

fn unpacked(text: Vec<u8>) -> Vec<u8> {
    if is_json(&text) {
        return text;
    }
    let text = text.trim_ascii();
    // Base64 that is cut off anywhere: a last character alone holds nothing.
    let shorter = text.len().saturating_sub(1);
    from_base64(text).or_else(|_| from_base64(text.get(..shorter).unwrap_or_default())).unwrap_or_default()
}

/// Looks for `"token":"…"` and `"$token":"…"`. A hit inside some text does no harm, see above.
fn in_text(state: &AppState, text: &[u8]) -> Option<ProjectId> {
    let candidates = memmem::find_iter(text, b"token\"").filter_map(|at| {
        let rest = text.get(at + b"token\"".len()..)?.trim_ascii_start();
        let value = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        std::str::from_utf8(value.get(..TOKEN_LEN)?).ok()
    });
    candidates.take(TRIES_MAX).find_map(|token| state.projects.known_by_token(token))
}

fn head(bytes: &[u8]) -> &[u8] {
    bytes.get(..PREFIX_BYTES).unwrap_or(bytes)
}
