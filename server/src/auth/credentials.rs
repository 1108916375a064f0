//! The `Authorization` header as real clients write it.
//!
//! Some send Basic credentials without a colon, some in the URL-safe alphabet, some not encoded at all
//! (`reference/mixpanel-http-api.md` §2.2); all of them are understood. Whether they are right is decided elsewhere.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Either alphabet is mapped to this one first; padding is optional, and so are zero trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// User name and secret of a Basic header. An absent or empty password is `None`: `secret:` and `secret` are the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: Option<String>,
}

/// Secrets stay out of logs: a user name may be a project's secret too.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// The Basic credentials of a request; `None` where there is no such header or it cannot be read.
pub fn basic_credentials(headers: &HeaderMap) -> Option<Credentials> {
    let text = scheme(headers, "basic")?;
    let clear = if text.contains(':') { text.to_owned() } else { decode(text)? };
    let (username, password) = clear.split_once(':').unwrap_or((&clear, ""));
    if username.is_empty() {
        return None;
    }
    let password = (!password.is_empty()).then(|| password.to_owned());
    Some(Credentials { username: username.to_owned(), password })
}

/// The token of a Bearer header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer")
}

/// What follows the scheme's name, which is case-insensitive.
fn scheme<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    (scheme.eq_ignore_ascii_case(name) && !rest.is_empty()).then_some(rest)
}

fn decode(text: &str) -> Option<String> {
    let standard: String = text
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    String::from_utf8(BASE64.decode(standard).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expect: Option<(&str, Option<&str>)>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        let found = basic_credentials(&headers);
        let found = found.as_ref().map(|c| (c.username.as_str(), c.password.as_deref()));
        assert_eq!(found, expect, "{header}");
    }

    #[test]
    fn all_forms_that_clients_send_are_read() {
        check("Basic c2EudGVzdDpzZWNyZXQ=", Some(("sa.test", Some("secret"))));
        check("basic c2EudGVzdDpzZWNyZXQ", Some(("sa.test", Some("secret"))));
        check("BASIC  QVBJU0VDUkVUOg==", Some(("APISECRET", None)));
        check("Basic QVBJU0VDUkVU", Some(("APISECRET", None)));
        check("Basic sa.test:secret", Some(("sa.test", Some("secret"))));
        check("Basic APISECRET:", Some(("APISECRET", None)));
        check("Basic sa:se:cr:et", Some(("sa", Some("se:cr:et"))));
        // `?>?` and `~~~` need the two letters in which the alphabets differ.
        check("Basic Pz4_On5-fg==", Some(("?>?", Some("~~~"))));
        check("Basic Pz4/On5+fg", Some(("?>?", Some("~~~"))));
    }

    #[test]
    fn nothing_readable_is_no_credentials() {
        check("Basic ", None);
        check("Basic :secret", None);
        check("Basic %%%", None);
        check("Basic //79", None);
        check("Bearer abc", None);
        check("Basic", None);
        assert_eq!(basic_credentials(&HeaderMap::new()), None);
    }

    #[test]
    fn bearer_scheme_is_case_insensitive() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "bearer  abc ".parse().unwrap());
        assert_eq!(bearer(&headers), Some("abc"));
    }
}
