use axum::http::{HeaderValue, Request, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use super::*;
use crate::{clock::Clock, config::Auth, text::IdentifierError as E};

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

/// Claims that are taken, with `other` merged over them; `null` takes one away.
#[expect(clippy::needless_pass_by_value, reason = "so that a case is one literal")]
fn claims(other: Value) -> Value {
    let mut claims = json!({"sub": "admin-1", "exp": in_seconds(600), "role": "SUPER_ADMIN"});
    for (name, value) in other.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(header: &Header, claims: &Value, secret: &str) -> String {
    // Chooses the library's backend.
    let _ = TokenVerifier::new(&auth());
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes()).unwrap()).unwrap()
}

fn token(other: Value) -> String {
    signed(&Header::default(), &claims(other), SECRET)
}

fn verdict(auth: &Auth, token: &str) -> Result<Caller, Refusal> {
    TokenVerifier::new(auth).verify(token)
}

#[test]
fn a_sound_token_names_its_caller() {
    let expires = in_seconds(600);
    let until = DateTime::from_timestamp(expires, 0).unwrap();
    let caller = verdict(
        &auth(),
        &token(json!({"plan": "pro", "level": "b2", "iat": in_seconds(0), "exp": expires})),
    );
    let user = UserId::parse("admin-1").unwrap();
    let (plan, level) = (Some("pro".to_owned()), Some("b2".to_owned()));
    assert_eq!(caller, Ok(Caller { user, plan, level, is_admin: true, until }));
}

#[test]
fn a_token_that_breaks_any_rule_is_refused() {
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    let other_secret = "another secret, of 32 bytes and more";
    let cases = [
        ("", Refusal::NotAJwt),
        ("a.b", Refusal::NotAJwt),
        ("a.b.c.d", Refusal::NotAJwt),
        (&*alg_none(), Refusal::Algorithm),
        (&*signed(&Header::default(), &claims(json!({})), other_secret), Refusal::Signature),
        (&*signed(&Header::new(Algorithm::HS512), &claims(json!({})), SECRET), Refusal::Algorithm),
        (&*signed(&critical, &claims(json!({})), SECRET), Refusal::HeaderMember("crit")),
        (&*token(json!({"exp": in_seconds(-10)})), Refusal::Expired),
        (&*token(json!({"exp": null})), Refusal::Missing("exp")),
        (&*token(json!({"exp": "9999999999"})), Refusal::Type("exp", "a number")),
        (&*token(json!({"nbf": in_seconds(60)})), Refusal::NotYet("nbf")),
        (&*token(json!({"iat": in_seconds(60)})), Refusal::NotYet("iat")),
        (
            &*token(json!({"iat": in_seconds(-60), "exp": in_seconds(13 * 3600)})),
            Refusal::LivesTooLong { max: 43_200, since_iat: true },
        ),
        (
            &*token(json!({"exp": in_seconds(13 * 3600)})),
            Refusal::LivesTooLong { max: 43_200, since_iat: false },
        ),
        (&*token(json!({"sub": null})), Refusal::Missing("sub")),
        (&*token(json!({"sub": 7})), Refusal::Type("sub", "a string")),
        (&*token(json!({"sub": ""})), Refusal::Identifier("sub", E::Blank)),
        (&*token(json!({"sub": "  "})), Refusal::Identifier("sub", E::Blank)),
        (&*token(json!({"sub": "brune:migrate"})), Refusal::Reserved),
        (
            &*token(json!({"sub": "a\nb"})),
            Refusal::Identifier("sub", E::Forbidden("a control character")),
        ),
        (
            &*token(json!({"plan": "a\u{0}"})),
            Refusal::Identifier("plan", E::Forbidden("a NUL character")),
        ),
        (&*token(json!({"iss": ["us"]})), Refusal::Type("iss", "a string")),
        (&*token(json!({"pad": "x".repeat(8 * 1024)})), Refusal::TooLong(8192)),
    ];
    for (token, refusal) in cases {
        assert_eq!(verdict(&auth(), token), Err(refusal), "{token:.80}");
    }
}

fn alg_none() -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims(json!({}))))
}

#[test]
fn a_few_seconds_between_clocks_are_forgiven() {
    for fine in [
        json!({"exp": in_seconds(-2)}),
        json!({"nbf": in_seconds(3)}),
        json!({"iat": in_seconds(3)}),
    ] {
        assert!(verdict(&auth(), &token(fine.clone())).is_ok(), "{fine}");
    }
}

#[test]
fn issuer_and_audience_are_required_where_they_are_configured() {
    let ours = json!({"iss": "us", "aud": "brune"});
    assert!(verdict(&strict(), &token(ours.clone())).is_ok());
    assert!(verdict(&strict(), &token(json!({"iss": "us", "aud": ["other", "brune"]}))).is_ok());
    for (other, refusal) in [
        (json!({"iss": "us"}), Refusal::Missing("aud")),
        (json!({"aud": "brune"}), Refusal::Missing("iss")),
        (json!({"iss": "them", "aud": "brune"}), Refusal::Mismatch("iss")),
        (json!({"iss": "us", "aud": "other"}), Refusal::Mismatch("aud")),
        (json!({"iss": "us", "aud": 42}), Refusal::Type("aud", "a string or a list of strings")),
        (json!({"iss": {}, "aud": "brune"}), Refusal::Type("iss", "a string")),
    ] {
        assert_eq!(verdict(&strict(), &token(other.clone())), Err(refusal), "{other}");
    }
    // Where they are not configured, they are not looked at.
    assert!(verdict(&auth(), &token(ours)).is_ok());
}

#[test]
fn the_role_is_matched_exactly() {
    for (other, is_admin) in [
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
        let caller = verdict(&auth(), &token(other.clone())).unwrap();
        assert_eq!(caller.is_admin, is_admin, "{other}");
    }
}

#[test]
fn each_secret_of_a_rotation_is_taken() {
    let old = Secret::new("the secret before, of 32 bytes and more".to_owned());
    let both = Auth { jwt_secrets: vec![old, Secret::new(SECRET.to_owned())], ..auth() };
    assert!(verdict(&both, &token(json!({}))).is_ok());
    let none = Auth { jwt_secrets: vec![Secret::new(String::new())], ..auth() };
    // The library does not sign with an empty key; others do.
    let whole = token(json!({}));
    let message = whole.rsplit_once('.').unwrap().0;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
    mac.update(message.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let by_nothing = format!("{message}.{signature}");
    assert_eq!(verdict(&none, &by_nothing), Err(Refusal::Signature));
}

#[test]
fn an_issued_token_is_taken_and_holds_no_more_than_was_granted() {
    let grant = Grant { sub: "u-1".to_owned(), plan: Some("pro".to_owned()), ..Grant::default() };
    let token = issue(&strict(), &grant, Clock::system().now(), TimeDelta::hours(1)).unwrap();
    let caller = verdict(&strict(), &token).unwrap();
    assert_eq!((caller.user.as_str(), caller.is_admin), ("u-1", false));
    let shorter = Auth { max_life: 59 * 60, ..strict() };
    assert_eq!(
        verdict(&shorter, &token),
        Err(Refusal::LivesTooLong { max: 59 * 60, since_iat: true })
    );
}

/// The status and the challenge that a request with `headers` gets.
async fn asked<E>(headers: &[(&'static str, &str)]) -> Result<E, (u16, String)>
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
        let challenge = challenge.map_or("", |it| it.to_str().unwrap()).to_owned();
        (response.status().as_u16(), challenge)
    })
}

#[tokio::test]
async fn a_caller_is_told_apart_by_what_was_sent() {
    let bare = (401, r#"Bearer realm="brune""#.to_owned());
    let told = |detail: &str| {
        let error = r#"Bearer realm="brune", error="invalid_token", error_description="#;
        (401, format!("{error}\"{detail}\""))
    };
    let scheme = told("the Authorization header must be `Bearer` and a token");
    let (admin, user) = (
        format!("Bearer {}", token(json!({}))),
        format!("bEARER {}", token(json!({"role": null}))),
    );
    let refused = |headers: &'static [(&'static str, &'static str)]| asked::<SignedIn>(headers);
    assert_eq!(refused(&[]).await.unwrap_err(), bare);
    assert_eq!(refused(&[("authorization", "Basic eDp5")]).await.unwrap_err(), scheme);
    assert_eq!(refused(&[("authorization", "Bearer")]).await.unwrap_err(), scheme);
    let no_jwt = told("not a JWT: three base64url parts separated by dots are needed");
    assert_eq!(refused(&[("authorization", "Bearer x")]).await.unwrap_err(), no_jwt);
    assert!(asked::<SuperAdmin>(&[("authorization", &admin)]).await.is_ok());
    assert!(asked::<SignedIn>(&[("authorization", &user)]).await.is_ok());
    assert_eq!(asked::<SuperAdmin>(&[("authorization", &user)]).await.unwrap_err().0, 403);
    let twice = [("authorization", &*admin), ("authorization", &*admin)];
    assert_eq!(
        asked::<SuperAdmin>(&twice).await.unwrap_err(),
        told("Authorization was sent more than once")
    );
}

#[tokio::test]
async fn the_internal_key_or_a_token_is_taken_and_never_both() {
    let user = format!("Bearer {}", token(json!({})));
    let (right, wrong) =
        (("x-internal-api-key", "an internal key"), ("x-internal-api-key", "an internal kez"));
    assert!(matches!(asked(&[right]).await, Ok(InternalOrUser::Internal)));
    assert!(matches!(asked(&[("authorization", &user)]).await, Ok(InternalOrUser::User(_))));
    assert_eq!(asked::<InternalOrUser>(&[wrong]).await.unwrap_err().0, 401);
    assert_eq!(asked::<InternalOrUser>(&[right, right]).await.unwrap_err().0, 401);
    assert_eq!(asked::<InternalOrUser>(&[]).await.unwrap_err().0, 401);
    assert_eq!(
        asked::<InternalOrUser>(&[right, ("authorization", &user)]).await.unwrap_err().0,
        400
    );
    // The internal key opens nothing else.
    assert_eq!(asked::<SignedIn>(&[right]).await.unwrap_err().0, 401);
}

#[test]
fn nothing_secret_is_printed() {
    let shown = format!(
        "{:?} {:?}",
        TokenVerifier::new(&auth()),
        Fingerprint::of(&Secret::new("x".to_owned()))
    );
    assert_eq!(shown, "Keys(***) ***");
}
