//! Content negotiation: `Accept` and `Accept-Encoding` (RFC 9110, 12.5), where a response has more than one format.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use crate::{http::request::headers, metrics::Format};

/// The format of the metrics that the client prefers (`Accept`).
pub(in crate::http) struct MetricsFormat(pub(in crate::http) Format);

impl<S: Send + Sync> FromRequestParts<S> for MetricsFormat {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(metrics_format(&parts.headers)))
    }
}

impl IntoParams for MetricsFormat {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "`text/plain` or `application/openmetrics-text`";
        vec![headers::parameter::<String>("Accept", description)]
    }
}

/// A range of media types or a content coding, and its quality.
struct Range<'h> {
    kind: &'h str,
    version: Option<&'h str>,
    quality: f32,
}

/// Reads one element of `Accept` or `Accept-Encoding`; `None` if its quality is not a number from 0 to 1.
fn range(element: &str) -> Option<Range<'_>> {
    let mut parts = element.split(';').map(str::trim);
    let mut range = Range { kind: parts.next()?, version: None, quality: 1.0 };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => {
                let quality = value.trim().parse().ok();
                range.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
            }
            name if name.eq_ignore_ascii_case("version") => {
                range.version = Some(value.trim().trim_matches('"'));
            }
            _ => (),
        }
    }
    Some(range)
}

/// Returns the preferred format. `OpenMetrics` must be named: most clients that accept anything are people and older
/// programs. A client that accepts neither format gets the plain one.
fn metrics_format(headers: &HeaderMap) -> Format {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<_> = lines.flat_map(|line| line.split(',')).filter_map(range).collect();
    // The most specific range takes precedence (RFC 9110, 12.5.1).
    let weight = |kinds: &[&str], version: &str| {
        let matches = |range: &&Range<'_>, kind: &str| {
            let is_version = range.version.is_none_or(|range_version| range_version == version);
            range.kind.eq_ignore_ascii_case(kind) && is_version
        };
        let quality = |kind: &&str| {
            let matching = ranges.iter().filter(|range| matches(range, kind));
            matching.map(|range| range.quality).reduce(f32::max)
        };
        kinds.iter().find_map(quality).unwrap_or(0.0)
    };
    let open = weight(&["application/openmetrics-text", "application/*"], "1.0.0");
    let plain = weight(&["text/plain", "text/*", "*/*"], "0.0.4");
    if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Plain }
}

/// Whether the client prefers a gzip body to an uncompressed one (RFC 9110, 12.5.3). A client that names no coding gets
/// an uncompressed body.
pub(in crate::http) fn prefers_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let codings: Vec<_> = lines.flat_map(|line| line.split(',')).filter_map(range).collect();
    let quality = |names: &[&str]| {
        let named =
            |coding: &&Range<'_>| names.iter().any(|name| coding.kind.eq_ignore_ascii_case(name));
        codings.iter().filter(named).map(|coding| coding.quality).reduce(f32::max)
    };
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).unwrap_or(0.0);
    let identity = quality(&["identity"]).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_preferred_only_where_the_client_accepts_it() {
        let prefers = |line| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
            prefers_gzip(&headers)
        };
        for accepted in [
            "gzip",
            "br, GZIP;q=0.5",
            "x-gzip",
            "*",
            "deflate, *;q=0.1",
            "gzip, identity",
            "gzip, *;q=0",
        ] {
            assert!(prefers(accepted), "{accepted}");
        }
        for refused in [
            "",
            "br",
            "gzip;q=0",
            "gzip;q=0, *",
            "identity, gzip;q=0.5",
            "gzip;q=x",
            "identity;q=0",
        ] {
            assert!(!prefers(refused), "{refused}");
        }
        assert!(!prefers_gzip(&HeaderMap::new()));
    }
}
