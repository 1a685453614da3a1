//! Content negotiation: `Accept` and `Accept-Encoding` (RFC 9110, 12.5), where a response has more than one format.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use crate::{http::request::headers, metrics::Format};

/// The client's preferred format of the metrics (`Accept`).
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

/// A range of media types or a content coding, with a quality.
struct Range<'h> {
    kind: &'h str,
    version: Option<&'h str>,
    quality: f32,
}

/// Reads one element of `Accept` or `Accept-Encoding`; `None` if its quality is no number from 0 to 1.
fn range(element: &str) -> Option<Range<'_>> {
    let mut parts = element.split(';').map(str::trim);
    let mut range = Range { kind: parts.next()?, version: None, quality: 1.0 };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => {
                // `f32` parses `NaN` and `inf` as well; the range below refuses such a quality.
                let quality = value.trim().parse().ok();
                range.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
            }
            name if name.eq_ignore_ascii_case("version") => {
                range.version = Some(value.trim().trim_matches('"'));
            }
            // Other parameters, such as `charset`, do not change the format.
            _ => (),
        }
    }
    Some(range)
}

/// Returns the format of the metrics that the client prefers. A client must name `OpenMetrics`, because most clients that
/// accept anything are people and older programs. A client that accepts neither format gets the plain one.
fn metrics_format(headers: &HeaderMap) -> Format {
    let ranges = ranges(headers, &header::ACCEPT);
    // An exact type takes precedence over a pattern (RFC 9110, 12.5.1).
    let quality = |kinds: &[&str], version: &str| {
        let matches = |range: &&Range<'_>, kind: &str| {
            let version_matches = range.version.is_none_or(|requested| requested == version);
            range.kind.eq_ignore_ascii_case(kind) && version_matches
        };
        let quality_of_kind = |kind: &&str| {
            let matching = ranges.iter().filter(|range| matches(range, kind));
            // RFC 9110 gives repeated ranges no order, so the highest quality counts.
            matching.map(|range| range.quality).reduce(f32::max)
        };
        kinds.iter().find_map(quality_of_kind).unwrap_or(0.0)
    };
    let open = quality(&["application/openmetrics-text", "application/*"], "1.0.0");
    let plain = quality(&["text/plain", "text/*", "*/*"], "0.0.4");
    // A quality of 0 means `not acceptable` (RFC 9110, 12.4.2), so equal zeros must not win.
    if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Plain }
}

/// Returns whether the client prefers a gzip body to an uncompressed one (RFC 9110, 12.5.3). Without the header the
/// answer is no.
pub(in crate::http) fn prefers_gzip(headers: &HeaderMap) -> bool {
    let codings = ranges(headers, &header::ACCEPT_ENCODING);
    let quality = |names: &[&str]| {
        let matches =
            |coding: &&Range<'_>| names.iter().any(|name| coding.kind.eq_ignore_ascii_case(name));
        codings.iter().filter(matches).map(|coding| coding.quality).reduce(f32::max)
    };
    // `x-gzip` is an alias of `gzip` (RFC 9110, 8.4.1.3).
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).unwrap_or(0.0);
    // An unlisted identity is acceptable, but not preferred to a listed gzip.
    let identity = quality(&["identity"]).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity
}

/// Reads the elements of all lines of the header `name`.
fn ranges<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<Range<'h>> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    // No parameter of interest has a quoted comma, so a plain split suffices.
    lines.flat_map(|line| line.split(',')).filter_map(range).collect()
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
