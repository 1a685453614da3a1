//! The client of the plan service (Porte Talent), which knows the plan and level of each user.

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
    // The operator configures the address, which may be internal.
    address_policy: AddressPolicy::Anywhere,
};
/// Maximum length of a plan or level in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The user's plan is unknown, because the plan service failed.
#[derive(Debug, thiserror::Error)]
#[error("the plan service {0}")]
pub struct PlanUnavailable(String);

/// A user's plan and level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlanAndLevel {
    pub(super) plan: Option<String>,
    pub(super) level: Option<String>,
}

/// A client of the plan service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plans {
    http: Outbound,
    root: Url,
    key: Secret,
}

impl Plans {
    /// Creates a client of the service at `root`, authenticated by `key`.
    ///
    /// # Errors
    /// TLS is not available on this machine.
    pub fn new(root: Url, key: Secret) -> Result<Self, outbound::OutboundError> {
        Ok(Self { http: Outbound::new(BOUNDS)?, root, key })
    }

    /// Returns the plan and level of `user`; neither for a user that is unknown to the service.
    pub(super) async fn find(
        &self,
        user: &UserId,
        request: &RequestId,
    ) -> Result<PlanAndLevel, PlanUnavailable> {
        let Some(url) = self.url(user) else { return Ok(PlanAndLevel::default()) };
        let call = self.http.request(Method::GET, url);
        let call = call.header("x-internal-api-key", self.key.expose());
        let call = call.header("x-request-id", request.as_str());
        let result = match self.http.send(call).await {
            Ok(response) => read(&response),
            Err(error) => Err(error.to_string()),
        };
        result.map_err(|problem| {
            warn!(problem, "request to the plan service failed");
            PlanUnavailable(problem)
        })
    }

    /// Returns `None` for `.` and `..`, which would change the path. No user has such an id.
    fn url(&self, user: &UserId) -> Option<Url> {
        if matches!(user.as_str(), "." | "..") {
            return None;
        }
        let mut url = self.root.clone();
        // Segments are percent-encoded, so that an id cannot change the path.
        url.path_segments_mut().ok()?.pop_if_empty().extend(["internal", "users", user.as_str()]);
        Some(url)
    }
}

fn read(response: &OutboundResponse) -> Result<PlanAndLevel, String> {
    match response.status {
        StatusCode::OK => parse(&response.body),
        StatusCode::NOT_FOUND => Ok(PlanAndLevel::default()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            // An error, not a warning, because only an operator can fix the key.
            error!("the service at PORTE_TALENT_BASE_URL rejected INTERNAL_API_KEY");
            Err("rejected INTERNAL_API_KEY".to_owned())
        }
        status => Err(format!("returned status {}", status.as_u16())),
    }
}

/// Parses the body: `plan` and `level` are required, each a string or null. Other fields are ignored.
fn parse(body: &[u8]) -> Result<PlanAndLevel, String> {
    #[derive(Deserialize)]
    struct PlanResponse {
        #[serde(deserialize_with = "present")]
        plan: Option<String>,
        #[serde(deserialize_with = "present")]
        level: Option<String>,
    }
    // serde also accepts an array of the fields in order.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let response = serde_json::from_slice::<PlanResponse>(body).ok().filter(|_| is_object);
    let PlanResponse { plan, level } =
        response.ok_or("returned no object with `plan` and `level`")?;
    let is_valid = |name: &String| check_optional_identifier(name, MAX_NAME_BYTES).is_ok();
    if !plan.iter().chain(&level).all(is_valid) {
        return Err("returned an invalid plan or level".to_owned());
    }
    Ok(PlanAndLevel { plan, level })
}

/// Deserializes a required, nullable field: serde treats a missing `Option` as null otherwise.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_one_segment_of_the_path() {
        let root = Url::parse("http://talent.test/api/").unwrap();
        let plans = Plans::new(root, Secret::new("key".to_owned())).unwrap();
        let url = |name: &str| plans.url(&UserId::parse(name).unwrap()).map(|url| url.to_string());
        assert_eq!(url("ana").unwrap(), "http://talent.test/api/internal/users/ana");
        assert_eq!(
            url("a/../b?c#d%2e é").unwrap(),
            "http://talent.test/api/internal/users/a%2F..%2Fb%3Fc%23d%252e%20%C3%A9"
        );
        assert_eq!((url("."), url("..")), (None, None));
        assert!(url("%2e%2e").unwrap().ends_with("/users/%252e%252e"));
    }

    #[test]
    fn only_an_object_with_both_fields_is_valid() {
        let read = |text: &str| parse(text.as_bytes());
        let some = |name: &str| Some(name.to_owned());
        let pro = PlanAndLevel { plan: some("pro"), level: some("senior") };
        assert_eq!(read(r#"{"id": 7, "plan": "pro", "level": "senior"}"#).unwrap(), pro);
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
