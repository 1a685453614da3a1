//! Patterns of well-known secrets. Every pattern requires a length that no name reaches by chance: `sk-` alone,
//! or `sk-learn`, is not a key.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use regex::{Regex, RegexSet};
use serde_json::{Map, Value};

/// The kinds of secrets, with an article, and the patterns. The first match wins.
const PATTERNS: &[(&str, &str)] = &[
    ("an Anthropic API key", r"sk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI API key", r"sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{20,}"),
    ("an API key of OpenAI's form", r"(?:^|[^A-Za-z0-9])sk-[A-Za-z0-9]{20,}"),
    ("a client secret of OpenAI's", r"(?:^|[^A-Za-z0-9])ek_[A-Za-z0-9]{20,}"),
    ("an xAI API key", r"xai-[A-Za-z0-9]{40,}"),
    ("a Groq API key", r"gsk_[A-Za-z0-9]{40,}"),
    ("a Perplexity API key", r"pplx-[A-Za-z0-9]{40,}"),
    ("a Replicate token", r"(?:^|[^A-Za-z0-9])r8_[A-Za-z0-9]{35,}"),
    ("a Hugging Face token", r"(?:^|[^A-Za-z0-9])hf_[A-Za-z0-9]{30,}"),
    ("an AWS access key", r"(?:^|[^A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?:$|[^A-Z0-9])"),
    ("an AWS secret key", r"(?i)aws_?secret_?(?:access_?)?key\W{1,5}[A-Za-z0-9/+]{40}"),
    ("a GitHub token", r"gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    ("a GitLab token", r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"xox[abceoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    ("a Stripe key", r"(?:^|[^A-Za-z0-9])[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("a Stripe webhook secret", r"whsec_[A-Za-z0-9+/]{24,}"),
    ("a Google API key", r"AIza[A-Za-z0-9_-]{35}"),
    ("a Google access token", r"(?:^|[^A-Za-z0-9])ya29\.[A-Za-z0-9_-]{20,}"),
    ("a Google client secret", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    ("a SendGrid API key", r"(?:^|[^A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("an npm token", r"(?:^|[^A-Za-z0-9])npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"pypi-[A-Za-z0-9_-]{50,}"),
    ("a Twilio key", r"(?:^|[^A-Za-z0-9])SK[0-9a-f]{32}(?:$|[^A-Za-z0-9])"),
    ("a DigitalOcean token", r"do[opr]_v1_[a-f0-9]{40,}"),
    ("a Shopify token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("a Vault token", r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("a Databricks token", r"(?:^|[^A-Za-z0-9])dapi[0-9a-f]{32}"),
    ("a Telegram bot token", r"(?:^|[^A-Za-z0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("an age secret key", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
    (
        "an Azure key",
        r"(?i)(?:AccountKey|SharedAccessKey|SharedAccessSignature)\s*=\s*[a-z0-9+/]{20,}",
    ),
    (
        "a Discord webhook's address",
        r"(?i)discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]+/[a-z0-9_-]{8,}",
    ),
    (
        "a Slack webhook's address",
        r"(?i)hooks\.slack\.com/(?:services|workflows|triggers)/[a-z0-9]+/[a-z0-9/_-]{8,}",
    ),
    ("a private key", r"(?i)-{4,5}\s*BEGIN\s+(?:[A-Z0-9]+\s+)*PRIVATE\s+KEY"),
    ("a password in a URL", r"(?i)[a-z][a-z0-9+.-]*://[^\s/?#:@]*:[^\s/?#@]+@"),
    (
        "a credential in a URL's query",
        r"(?i)[?&;#](?:password|passwd|pwd|access_?token|refresh_?token|id_token|auth_?token|token|api_?key|client_?secret|secret|private_?key|sig|signature|x-amz-signature|x-goog-signature)=[^&\s#{<$*][^&\s#]{5,}",
    ),
    (
        "a connection string with its password",
        r"(?i)(?-u:\b)(?:host|server|user|user id|uid|dbname|database|data source)\s*=.*(?-u:\b)(?:password|passwd|pwd)\s*=\s*[^\s;]",
    ),
    (
        "a connection string with its password",
        r"(?i)(?-u:\b)(?:password|passwd|pwd)\s*=\s*[^\s;].*[\s;](?:host|server|user|user id|uid|dbname|database|data source)\s*=",
    ),
    (
        "a secret's assignment",
        r#"(?:^|[\s;,"'])[A-Z][A-Z0-9_]*(?:SECRET|PASSWORD|API_KEY|ACCESS_KEY|PRIVATE_KEY|(?:ACCESS|AUTH|API|BOT)_TOKEN)=[^\s${<*]{6,}"#,
    ),
    (
        "a header with credentials",
        r"(?i)(?-u:\b)authorization\s*:\s*(?:basic|bearer)\s+[^\s{<$*]{8,}",
    ),
];

/// Prefixes of well-known secrets, of JWTs and of parts of a JWT. Sufficient to distinguish a truncated secret from
/// an identifier, but too short for prose.
const PREFIXES: &str = concat!(
    r"(?:^|[^A-Za-z0-9])(?:eyJ|eyA|ewo|ew0)[A-Za-z0-9]",
    r"|(?:^|[^A-Za-z0-9])(?:sk-[A-Za-z0-9]|ek_|r8_|hf_|npm_|dapi[0-9a-f]{4}|ya29\.|SG\.[A-Za-z0-9_-]{6}|xox[abceoprs]-|xapp-|[rs]k_(?:live|test)_|brt_)",
    r"|(?:^|[^A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{4}",
    r"|xai-[A-Za-z0-9]{8}|gsk_|pplx-|gh[oprsu]_|github_pat_|glpat-|whsec_|AIza|GOCSPX-|pypi-|do[opr]_v1_|shp(?:at|ca|pa|ss)_",
    r"|hv[sbr]\.|AGE-SECRET-KEY",
);

static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PREFIXES).ok());

/// Whether `text` contains the prefix of a well-known secret, however little follows.
pub(super) fn contains_prefix(text: &str) -> bool {
    PREFIX.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

// One set: one pass over the text instead of one pass for each pattern.
static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    // A unit test verifies that every pattern compiles, so the default is unreachable.
    RegexSet::new(PATTERNS.iter().map(|(_, pattern)| pattern)).unwrap_or_default()
});

/// Three parts of a possible JWT: the first begins as the base64 of `{"`, `{ ` or a `{` before a line break.
static JWT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:eyJ|eyA|ewo|ew0)[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*").ok()
});

/// Returns the kind of the first secret pattern in `text`, with an article.
pub(super) fn kind(text: &str) -> Option<&'static str> {
    let pattern = SET.matches(text).iter().next().and_then(|index| PATTERNS.get(index));
    pattern.map(|(kind, _)| *kind).or_else(|| jwt(text))
}

fn jwt(text: &str) -> Option<&'static str> {
    let mut candidates = JWT.as_ref()?.find_iter(text);
    candidates.any(|candidate| is_jwt(candidate.as_str())).then_some("a JSON Web Token")
}

/// Whether the first part is a JWT header: an object with an algorithm. Excludes other text with two dots.
fn is_jwt(text: &str) -> bool {
    // Only the header, because the payload may be encrypted.
    let header = text.split('.').next().and_then(|part| BASE64_URL.decode(part).ok());
    let header = header.and_then(|part| serde_json::from_slice::<Map<String, Value>>(&part).ok());
    header.is_some_and(|header| header.contains_key("alg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (name, pattern) in PATTERNS {
            assert!(Regex::new(pattern).is_ok(), "{name}");
        }
        assert_eq!(SET.len(), PATTERNS.len());
        assert!(JWT.is_some() && PREFIX.is_some());
    }
}
