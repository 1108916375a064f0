//! Secrets: drawn at random, shown once, kept only as salted hashes, compared in constant time.
//!
//! HMAC-SHA-256 and not a password hash: these are random 128 or 256 bits, which nobody can try out, and a slow hash on
//! every API call would be a way to keep the server busy.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// `bytes` random bytes in lower-case hex.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut buffer);
    hex(&buffer)
}

/// The form of tokens and API secrets.
pub fn is_hex_32(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What is kept of a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct HashedSecret {
    /// Hex; random, so that equal hashes say nothing and tables computed ahead do not help.
    salt: String,
    /// Hex of HMAC-SHA-256(salt, secret).
    hmac: String,
}

impl HashedSecret {
    pub fn new(secret: &str) -> Self {
        let salt = random_hex(16);
        let hmac = keyed_hash(&salt, secret);
        Self { salt, hmac }
    }

    pub fn matches(&self, secret: &str) -> bool {
        keyed_hash(&self.salt, secret).as_bytes().ct_eq(self.hmac.as_bytes()).into()
    }
}

fn keyed_hash(salt: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(secret.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_own_secret_only() {
        let secret = random_hex(32);
        let hashed = HashedSecret::new(&secret);
        assert!(hashed.matches(&secret));
        assert!(!hashed.matches(&secret[1..]));
        assert!(!hashed.matches(""));
        assert!(!serde_json::to_string(&hashed).unwrap().contains(&secret));
    }

    #[test]
    fn equal_secrets_have_different_hashes() {
        assert_ne!(HashedSecret::new("s").hmac, HashedSecret::new("s").hmac);
    }

    #[test]
    fn tokens_are_32_lower_case_hex_digits() {
        assert!(is_hex_32(&random_hex(16)));
        assert!(!is_hex_32("0123456789abcdef0123456789abcdeF"));
        assert!(!is_hex_32("0123"));
    }
}
