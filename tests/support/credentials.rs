//! Who may call a test instance: its secrets, and tokens that are signed with them.

use brune::{
    clock::Clock,
    config::{Auth, Secret},
    http::{Grant, SUPER_ADMIN, issue},
    secret_scanner::SecretScanner,
};
use chrono::TimeDelta;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

/// The secret that test tokens are signed with.
pub(crate) const SECRET: &str = "a secret for tests, long enough to be one";
/// The API key of internal services.
pub(crate) const INTERNAL_KEY: &str = "an internal key for tests";
/// The API key that test instances send to the realtime provider.
pub(crate) const PROVIDER_KEY: &str = "sk-a-key-for-tests-of-the-provider";

/// The authentication settings of test instances.
pub(crate) fn auth() -> Auth {
    Auth {
        jwt_secrets: vec![Secret::new(SECRET.to_owned())],
        issuer: None,
        audience: None,
        internal_api_key: Some(Secret::new(INTERNAL_KEY.to_owned())),
        max_life: Auth::DEFAULT_MAX_LIFE,
    }
}

/// A secret scanner that holds the secrets of test instances.
pub(crate) fn firewall() -> SecretScanner {
    let secrets = [SECRET, INTERNAL_KEY, PROVIDER_KEY];
    SecretScanner::with_known_secrets(secrets.map(|secret| Secret::new(secret.to_owned())))
}

/// A token with the claims of `grant`, valid for an hour.
pub(crate) fn token(grant: &Grant) -> String {
    issue(&auth(), grant, Clock::system().now(), TimeDelta::hours(1)).unwrap()
}

/// A token of an administrator that is signed with `secret`.
pub(crate) fn admin_signed_with(secret: &str) -> String {
    let auth = Auth { jwt_secrets: vec![Secret::new(secret.to_owned())], ..auth() };
    let role = Some(SUPER_ADMIN.to_owned());
    let grant = Grant { sub: "admin-1".to_owned(), role, ..Grant::default() };
    issue(&auth, &grant, Clock::system().now(), TimeDelta::hours(1)).unwrap()
}

/// A token of the administrator `sub`.
pub(crate) fn admin(sub: &str) -> String {
    let role = Some(SUPER_ADMIN.to_owned());
    token(&Grant { sub: sub.to_owned(), role, ..Grant::default() })
}

/// A token of the administrator `sub`, for whom `actor` acts (RFC 8693, 4.1).
pub(crate) fn delegated_admin(sub: &str, actor: &str) -> String {
    let now = Clock::system().now().timestamp();
    let claims = json!({"sub": sub, "role": SUPER_ADMIN, "act": {"sub": actor}, "iat": now, "exp": now + 3600});
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    encode(&Header::default(), &claims, &key).unwrap()
}

/// A token of a user on plan `pro`.
pub(crate) fn user(sub: &str) -> String {
    let plan = Some("pro".to_owned());
    token(&Grant { sub: sub.to_owned(), plan, ..Grant::default() })
}
