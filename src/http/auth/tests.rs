use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, Request, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{token::Fingerprint, *};
use crate::{
    clock::Clock,
    config::{Auth, Secret},
    http::problem::Problem,
    ids::UserId,
    text::IdentifierError as E,
};

const SECRET: &str = "a secret of this test, 32 bytes and more";

fn auth() -> Auth {
    let jwt_secrets = vec![Secret::new(SECRET.to_owned())];
    let internal_api_key = Some(Secret::new("an internal key".to_owned()));
    let max_life = Auth::DEFAULT_MAX_LIFE;
    Auth { jwt_secrets, issuer: None, audience: None, internal_api_key, max_life }
}

fn strict() -> Auth {
    Auth { issuer: Some("us".to_owned()), audience: Some("brune".to_owned()), ..auth() }
}

fn in_seconds(offset: i64) -> i64 {
    i64::try_from(get_current_timestamp()).unwrap() + offset
}

/// Returns valid claims, overridden by `changes`; `null` removes a claim.
#[expect(clippy::needless_pass_by_value, reason = "so that a case is one literal")]
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "admin-1", "exp": in_seconds(600), "role": "SUPER_ADMIN"});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(header: &Header, claims: &Value, secret: &str) -> String {
    // Installs the crypto provider of the library.
    let _ = TokenVerifier::new(&auth());
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes()).unwrap()).unwrap()
}

fn token(changes: Value) -> String {
    signed(&Header::default(), &claims(changes), SECRET)
}

fn verify(auth: &Auth, token: &str) -> Result<Caller, AuthError> {
    TokenVerifier::new(auth).verify(token)
}

#[test]
fn a_valid_token_identifies_its_caller() {
    let expires = in_seconds(600);
    let until = DateTime::from_timestamp(expires, 0).unwrap();
    let caller = verify(
        &auth(),
        &token(json!({"plan": "pro", "level": "b2", "iat": in_seconds(0), "exp": expires})),
    );
    let user = UserId::parse("admin-1").unwrap();
    let plan = Some("pro".to_owned());
    let level = Some("b2".to_owned());
    assert_eq!(
        caller,
        Ok(Caller { user, plan, level, is_admin: true, is_delegated: false, until })
    );
}

#[test]
fn an_invalid_token_is_rejected_with_the_violated_rule() {
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    let other_secret = "another secret, of 32 bytes and more";
    let cases = [
        ("", AuthError::NotAJwt),
        ("a.b", AuthError::NotAJwt),
        ("a.b.c.d", AuthError::NotAJwt),
        (&*alg_none(), AuthError::Algorithm),
        (&*signed(&Header::default(), &claims(json!({})), other_secret), AuthError::Signature),
        (
            &*signed(&Header::new(Algorithm::HS512), &claims(json!({})), SECRET),
            AuthError::Algorithm,
        ),
        (&*signed(&critical, &claims(json!({})), SECRET), AuthError::HeaderMember("crit")),
        (&*token(json!({"exp": in_seconds(-10)})), AuthError::Expired),
        (&*token(json!({"exp": null})), AuthError::Missing("exp")),
        (&*token(json!({"exp": "9999999999"})), AuthError::Type("exp", "a number")),
        (&*token(json!({"nbf": in_seconds(60)})), AuthError::NotYet("nbf")),
        (&*token(json!({"iat": in_seconds(60)})), AuthError::NotYet("iat")),
        (
            &*token(json!({"iat": in_seconds(-60), "exp": in_seconds(13 * 3600)})),
            AuthError::LivesTooLong { max: 43_200, since_iat: true },
        ),
        (
            &*token(json!({"exp": in_seconds(13 * 3600)})),
            AuthError::LivesTooLong { max: 43_200, since_iat: false },
        ),
        (&*token(json!({"sub": null})), AuthError::Missing("sub")),
        (&*token(json!({"sub": 7})), AuthError::Type("sub", "a string")),
        (&*token(json!({"sub": ""})), AuthError::Identifier("sub", E::Blank)),
        (&*token(json!({"sub": "  "})), AuthError::Identifier("sub", E::Blank)),
        (&*token(json!({"sub": "brune:migrate"})), AuthError::Reserved),
        (
            &*token(json!({"sub": "a\nb"})),
            AuthError::Identifier("sub", E::Forbidden("a control character")),
        ),
        (
            &*token(json!({"plan": "a\u{0}"})),
            AuthError::Identifier("plan", E::Forbidden("a NUL character")),
        ),
        (&*token(json!({"iss": ["us"]})), AuthError::Type("iss", "a string")),
        (&*token(json!({"pad": "x".repeat(8 * 1024)})), AuthError::TooLong(8192)),
    ];
    for (token, error) in cases {
        assert_eq!(verify(&auth(), token), Err(error), "{token:.80}");
    }
}

fn alg_none() -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims(json!({}))))
}

#[test]
fn clock_skew_of_a_few_seconds_is_tolerated() {
    for skewed in [
        json!({"exp": in_seconds(-2)}),
        json!({"nbf": in_seconds(3)}),
        json!({"iat": in_seconds(3)}),
    ] {
        assert!(verify(&auth(), &token(skewed.clone())).is_ok(), "{skewed}");
    }
}

#[test]
fn issuer_and_audience_are_required_where_they_are_configured() {
    let valid = json!({"iss": "us", "aud": "brune"});
    assert!(verify(&strict(), &token(valid.clone())).is_ok());
    assert!(verify(&strict(), &token(json!({"iss": "us", "aud": ["other", "brune"]}))).is_ok());
    for (changes, error) in [
        (json!({"iss": "us"}), AuthError::Missing("aud")),
        (json!({"aud": "brune"}), AuthError::Missing("iss")),
        (json!({"iss": "them", "aud": "brune"}), AuthError::Mismatch("iss")),
        (json!({"iss": "us", "aud": "other"}), AuthError::Mismatch("aud")),
        (json!({"iss": "us", "aud": 42}), AuthError::Type("aud", "a string or a list of strings")),
        (json!({"iss": {}, "aud": "brune"}), AuthError::Type("iss", "a string")),
    ] {
        assert_eq!(verify(&strict(), &token(changes.clone())), Err(error), "{changes}");
    }
    // Without a configured issuer and audience, both claims are ignored.
    assert!(verify(&auth(), &token(valid)).is_ok());
}

#[test]
fn the_role_is_matched_exactly() {
    for (changes, is_admin) in [
        (json!({"role": "SUPER_ADMIN"}), true),
        (json!({"role": null, "roles": ["x", "SUPER_ADMIN"]}), true),
        (json!({"role": null}), false),
        (json!({"role": "ADMIN"}), false),
        (json!({"role": "super_admin"}), false),
        (json!({"role": "NOT_SUPER_ADMIN"}), false),
        (json!({"role": "SUPER_ADMIN "}), false),
        (json!({"role": ["SUPER_ADMIN"]}), false),
        (json!({"role": null, "roles": "SUPER_ADMIN"}), false),
        (json!({"role": null, "roles": ["SUPER_ADMIN,x"]}), false),
        (json!({"role": null, "roles": {"SUPER_ADMIN": true}}), false),
        (json!({"role": null, "roles": [["SUPER_ADMIN"]]}), false),
    ] {
        let caller = verify(&auth(), &token(changes.clone())).unwrap();
        assert_eq!(caller.is_admin, is_admin, "{changes}");
    }
}

#[test]
fn each_secret_of_a_rotation_is_accepted() {
    let previous = Secret::new("the secret before, of 32 bytes and more".to_owned());
    let rotated = Auth { jwt_secrets: vec![previous, Secret::new(SECRET.to_owned())], ..auth() };
    assert!(verify(&rotated, &token(json!({}))).is_ok());
    let without_secret = Auth { jwt_secrets: vec![Secret::new(String::new())], ..auth() };
    // The library cannot sign with an empty key, but an attacker can.
    let valid = token(json!({}));
    let message = valid.rsplit_once('.').unwrap().0;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
    mac.update(message.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let forged = format!("{message}.{signature}");
    assert_eq!(verify(&without_secret, &forged), Err(AuthError::Signature));
}

#[test]
fn a_cached_token_matches_only_as_a_whole() {
    let keys = TokenVerifier::new(&auth());
    let cached = token(json!({}));
    let caller = keys.verify(&cached);
    assert!(caller.is_ok());
    assert_eq!(keys.verify(&cached), caller);
    let other = token(json!({"sub": "admin-2"}));
    let (signed_part, signature) = cached.rsplit_once('.').unwrap();
    let (other_part, other_signature) = other.rsplit_once('.').unwrap();
    for forged in [format!("{other_part}.{signature}"), format!("{signed_part}.{other_signature}")]
    {
        assert_eq!(keys.verify(&forged), Err(AuthError::Signature));
    }
}

#[test]
fn an_issued_token_is_accepted_and_grants_nothing_else() {
    let grant = Grant { sub: "u-1".to_owned(), plan: Some("pro".to_owned()), ..Grant::default() };
    let token = issue(&strict(), &grant, Clock::system().now(), TimeDelta::hours(1)).unwrap();
    let caller = verify(&strict(), &token).unwrap();
    assert_eq!((caller.user.as_str(), caller.is_admin), ("u-1", false));
    let shorter = Auth { max_life: 59 * 60, ..strict() };
    assert_eq!(
        verify(&shorter, &token),
        Err(AuthError::LivesTooLong { max: 59 * 60, since_iat: true })
    );
}

/// Extracts `E` from a request with `headers`; the error is the status and the challenge.
async fn extract<E>(headers: &[(&'static str, &str)]) -> Result<E, (u16, String)>
where
    E: FromRequestParts<TokenVerifier, Rejection = Problem>,
{
    let mut parts = Request::new(()).into_parts().0;
    for (name, value) in headers {
        parts.headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    E::from_request_parts(&mut parts, &TokenVerifier::new(&auth())).await.map_err(|problem| {
        let response = axum::response::IntoResponse::into_response(problem);
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = challenge.map_or("", |value| value.to_str().unwrap()).to_owned();
        (response.status().as_u16(), challenge)
    })
}

#[tokio::test]
async fn the_challenge_depends_on_the_credentials() {
    let bare = (401, r#"Bearer realm="brune""#.to_owned());
    let challenge = |detail: &str| {
        let error = r#"Bearer realm="brune", error="invalid_token", error_description="#;
        (401, format!("{error}\"{detail}\""))
    };
    let scheme = challenge("the Authorization header must be `Bearer` and a token");
    let (admin, user) = (
        format!("Bearer {}", token(json!({}))),
        format!("bEARER {}", token(json!({"role": null}))),
    );
    let sign_in = |headers: &'static [(&'static str, &'static str)]| extract::<SignedIn>(headers);
    assert_eq!(sign_in(&[]).await.unwrap_err(), bare);
    assert_eq!(sign_in(&[("authorization", "Basic eDp5")]).await.unwrap_err(), scheme);
    assert_eq!(sign_in(&[("authorization", "Bearer")]).await.unwrap_err(), scheme);
    let no_jwt = challenge("not a JWT: a token has three base64url parts separated by dots");
    assert_eq!(sign_in(&[("authorization", "Bearer x")]).await.unwrap_err(), no_jwt);
    assert!(extract::<SuperAdmin>(&[("authorization", &admin)]).await.is_ok());
    assert!(extract::<SignedIn>(&[("authorization", &user)]).await.is_ok());
    assert_eq!(extract::<SuperAdmin>(&[("authorization", &user)]).await.unwrap_err().0, 403);
    let twice = [("authorization", &*admin), ("authorization", &*admin)];
    assert_eq!(
        extract::<SuperAdmin>(&twice).await.unwrap_err(),
        challenge("Authorization was sent more than once")
    );
}

#[tokio::test]
async fn the_internal_key_or_a_token_is_accepted_but_not_both() {
    let user = format!("Bearer {}", token(json!({})));
    let right = ("x-internal-api-key", "an internal key");
    let wrong = ("x-internal-api-key", "an internal kez");
    assert!(matches!(extract(&[right]).await, Ok(InternalOrUser::Internal)));
    assert!(matches!(extract(&[("authorization", &user)]).await, Ok(InternalOrUser::User(_))));
    assert_eq!(extract::<InternalOrUser>(&[wrong]).await.unwrap_err().0, 401);
    assert_eq!(extract::<InternalOrUser>(&[right, right]).await.unwrap_err().0, 401);
    assert_eq!(extract::<InternalOrUser>(&[]).await.unwrap_err().0, 401);
    assert_eq!(
        extract::<InternalOrUser>(&[right, ("authorization", &user)]).await.unwrap_err().0,
        400
    );
    // Other routes do not accept the internal key.
    assert_eq!(extract::<SignedIn>(&[right]).await.unwrap_err().0, 401);
}

#[test]
fn debug_output_is_redacted() {
    let fingerprint = Fingerprint::new(&Secret::new("x".to_owned()));
    let debug = format!("{:?} {fingerprint:?}", TokenVerifier::new(&auth()));
    assert_eq!(debug, "TokenVerifier(***) ***");
}
