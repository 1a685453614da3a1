//! What the secrets of well-known providers look like. Every pattern asks for a length that no name reaches
//! by chance: `sk-` alone, or `sk-learn`, is no key.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use regex::{Regex, RegexSet};
use serde_json::{Map, Value};

use crate::secret_scanner::SecretKind;

/// What each pattern finds, with its article. In order: of two that fit, the first is told.
const KNOWN: &[(&str, &str)] = &[
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

/// What the secrets of well-known providers begin with, and a JWT or one of its parts. Enough to tell a secret that was
/// cut short from an identifier, and far too little for a sentence.
const BEGINNING: &str = concat!(
    r"(?:^|[^A-Za-z0-9])(?:eyJ|eyA|ewo|ew0)[A-Za-z0-9]",
    r"|(?:^|[^A-Za-z0-9])(?:sk-[A-Za-z0-9]|ek_|r8_|hf_|npm_|dapi[0-9a-f]{4}|ya29\.|SG\.[A-Za-z0-9_-]{6}|xox[abceoprs]-|xapp-|[rs]k_(?:live|test)_|brt_)",
    r"|(?:^|[^A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{4}",
    r"|xai-[A-Za-z0-9]{8}|gsk_|pplx-|gh[oprsu]_|github_pat_|glpat-|whsec_|AIza|GOCSPX-|pypi-|do[opr]_v1_|shp(?:at|ca|pa|ss)_",
    r"|hv[sbr]\.|AGE-SECRET-KEY",
);

static BEGINS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(BEGINNING).ok());

/// Whether `text` has what a well-known secret begins with, however little follows.
pub(super) fn begins(text: &str) -> bool {
    BEGINS.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    // A test compiles each of them.
    RegexSet::new(KNOWN.iter().map(|(_, pattern)| pattern)).unwrap_or_default()
});

/// Three parts that may be a JWT's: the first begins as the base64 of `{"`, `{ ` or a `{` before a line break.
static JWT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:eyJ|eyA|ewo|ew0)[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*").ok()
});

/// What the pattern that `text` fits finds.
pub(super) fn likeness(text: &str) -> Option<SecretKind> {
    let known = SET.matches(text).iter().next().and_then(|at| KNOWN.get(at));
    known.map(|(name, _)| SecretKind(name)).or_else(|| jwt(text))
}

fn jwt(text: &str) -> Option<SecretKind> {
    let mut candidates = JWT.as_ref()?.find_iter(text);
    candidates.any(|it| is_jwt(it.as_str())).then_some(SecretKind("a JSON Web Token"))
}

/// Whether the first part is what every token begins with: an object that names its algorithm.
fn is_jwt(text: &str) -> bool {
    let head = text.split('.').next().and_then(|part| BASE64_URL.decode(part).ok());
    let head = head.and_then(|it| serde_json::from_slice::<Map<String, Value>>(&it).ok());
    head.is_some_and(|it| it.contains_key("alg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (name, pattern) in KNOWN {
            assert!(Regex::new(pattern).is_ok(), "{name}");
        }
        assert_eq!(SET.len(), KNOWN.len());
        assert!(JWT.is_some() && BEGINS.is_some());
    }
}
