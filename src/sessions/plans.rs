//! Which plan and level a user has, where another service knows (Porte Talent).

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, Deserializer};
use tracing::{error, warn};

use crate::{
    config::Secret,
    ids::{RequestId, UserId},
    outbound::{self, AddressPolicy, CallLimits, Outbound, OutboundResponse},
    text::check_optional_identifier,
};

const BOUNDS: CallLimits = CallLimits {
    connect_timeout: Duration::from_secs(1),
    total_timeout: Duration::from_secs(2),
    max_body_bytes: 64 * 1024,
    address_policy: AddressPolicy::Anywhere,
};
/// Bytes of a plan's or a level's name.
const WORD_BYTES: usize = 256;

/// Nobody says which plan the user has.
#[derive(Debug, thiserror::Error)]
#[error("the service that knows the users' plans {0}")]
pub struct PlanUnavailable(String);

/// A user's plan and level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlanAndLevel {
    pub(super) plan: Option<String>,
    pub(super) level: Option<String>,
}

/// A client of the service that knows the users' plans. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plans {
    http: Outbound,
    root: Url,
    key: Secret,
}

impl Plans {
    /// One that asks the service at `root`, proving itself with `key`.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub fn new(root: Url, key: Secret) -> Result<Self, outbound::OutboundError> {
        Ok(Self { http: Outbound::new(BOUNDS)?, root, key })
    }

    /// The plan and level of `user`; of one that the service does not know, neither.
    pub(super) async fn find(
        &self,
        user: &UserId,
        request: &RequestId,
    ) -> Result<PlanAndLevel, PlanUnavailable> {
        let Some(url) = self.url(user) else { return Ok(PlanAndLevel::default()) };
        let sent = self.http.request(Method::GET, url);
        let sent = sent.header("x-internal-api-key", self.key.expose());
        let sent = sent.header("x-request-id", request.as_str());
        let found = match self.http.send(sent).await {
            Ok(answer) => read(&answer),
            Err(fault) => Err(fault.to_string()),
        };
        found.map_err(|what| {
            warn!(what, "a user's plan is not known");
            PlanUnavailable(what)
        })
    }

    /// `None` for a name that is a step in a path and so would lead somewhere else: nobody is called that.
    fn url(&self, user: &UserId) -> Option<Url> {
        if matches!(user.as_str(), "." | "..") {
            return None;
        }
        let mut url = self.root.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["internal", "users", user.as_str()]);
        Some(url)
    }
}

fn read(answer: &OutboundResponse) -> Result<PlanAndLevel, String> {
    match answer.status {
        StatusCode::OK => standing(&answer.body),
        StatusCode::NOT_FOUND => Ok(PlanAndLevel::default()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            error!("the service at PORTE_TALENT_BASE_URL refuses INTERNAL_API_KEY");
            Err("refuses INTERNAL_API_KEY".to_owned())
        }
        status => Err(format!("answered {}", status.as_u16())),
    }
}

/// Both must be there, each a text or null; what else the service tells is not looked at.
fn standing(body: &[u8]) -> Result<PlanAndLevel, String> {
    #[derive(Deserialize)]
    struct PlanResponse {
        #[serde(deserialize_with = "present")]
        plan: Option<String>,
        #[serde(deserialize_with = "present")]
        level: Option<String>,
    }
    // A list would pass for the object whose members it holds in order.
    let is_object = body.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'{');
    let told = serde_json::from_slice::<PlanResponse>(body).ok().filter(|_| is_object);
    let PlanResponse { plan, level } = told.ok_or("answered no object with `plan` and `level`")?;
    let fits = |name: &String| check_optional_identifier(name, WORD_BYTES).is_ok();
    if !plan.iter().chain(&level).all(fits) {
        return Err("answered a plan or a level that is no name".to_owned());
    }
    Ok(PlanAndLevel { plan, level })
}

/// Read like any other, but never left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_step_of_the_path() {
        let root = Url::parse("http://talent.test/api/").unwrap();
        let plans = Plans::new(root, Secret::new("key".to_owned())).unwrap();
        let url = |name: &str| plans.url(&UserId::parse(name).unwrap()).map(|it| it.to_string());
        assert_eq!(url("ana").unwrap(), "http://talent.test/api/internal/users/ana");
        assert_eq!(
            url("a/../b?c#d%2e é").unwrap(),
            "http://talent.test/api/internal/users/a%2F..%2Fb%3Fc%23d%252e%20%C3%A9"
        );
        assert_eq!((url("."), url("..")), (None, None));
        assert!(url("%2e%2e").unwrap().ends_with("/users/%252e%252e"));
    }

    #[test]
    fn only_an_object_with_both_is_an_answer() {
        let read = |text: &str| standing(text.as_bytes());
        let some = |it: &str| Some(it.to_owned());
        let both = PlanAndLevel { plan: some("pro"), level: some("senior") };
        assert_eq!(read(r#"{"id": 7, "plan": "pro", "level": "senior"}"#).unwrap(), both);
        assert_eq!(read(r#" {"plan": null, "level": null}"#).unwrap(), PlanAndLevel::default());
        for wrong in [
            "",
            "<html>",
            "null",
            "{}",
            r#"["pro", "senior"]"#,
            r#"{"plan": "pro"}"#,
            r#"{"plan": 1, "level": null}"#,
            r#"{"plan": ["pro"], "level": null}"#,
            r#"{"plan": "free", "plan": "pro", "level": null}"#,
            r#"{"plan": "a\u0000", "level": null}"#,
            r#"{"plan": "pro", "level": null} x"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&format!(r#"{{"plan": "{}", "level": null}}"#, "x".repeat(257))).is_err());
    }
}
