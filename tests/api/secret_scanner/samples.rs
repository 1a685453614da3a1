//! What secrets look like. Put together here, so that no line of this file is taken for a leaked one.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};

/// A way to dress a core of 32 hexadecimal digits as a secret.
pub(super) struct Form {
    /// What it is called when it is refused.
    pub(super) name: &'static str,
    dress: fn(&str) -> String,
}

impl Form {
    /// The secret with this core.
    pub(super) fn of(&self, core: &str) -> String {
        (self.dress)(core)
    }
}

const fn form(name: &'static str, dress: fn(&str) -> String) -> Form {
    Form { name, dress }
}

fn jwt(core: &str) -> String {
    let part = |text: &str| BASE64_URL.encode(text);
    let head = part(r#"{"typ":"JWT","alg":"HS256"}"#);
    format!("{head}.{}.{core}", part(r#"{"sub":"ada","exp":1900000000}"#))
}

/// One of each kind that is known.
pub(super) const FORMS: [Form; 50] = [
    form("an OpenAI API key", |filler| ["sk", "-proj-", filler, "_", filler].concat()),
    form("an OpenAI API key", |filler| ["sk", "-svcacct-", filler].concat()),
    form("an API key of OpenAI's form", |filler| ["sk", "-", filler].concat()),
    form("a client secret of OpenAI's", |filler| ["ek", "_", filler].concat()),
    form("an Anthropic API key", |filler| ["sk", "-ant-", "api03-", filler, "-AA"].concat()),
    form("an xAI API key", |filler| ["xai", "-", filler, filler].concat()),
    form("a Groq API key", |filler| ["gsk", "_", filler, filler].concat()),
    form("a Perplexity API key", |filler| ["pplx", "-", filler, filler].concat()),
    form("a Replicate token", |filler| ["r8", "_", filler, "a1b2c"].concat()),
    form("a Hugging Face token", |filler| ["hf", "_", filler, "ab"].concat()),
    form("an AWS access key", |filler| ["AK", "IA", &filler[..16].to_uppercase()].concat()),
    form("an AWS access key", |filler| ["AS", "IA", &filler[..16].to_uppercase()].concat()),
    form("an AWS secret key", |filler| {
        ["aws_secret_access", "_key = ", filler, "/+aB34Xy"].concat()
    }),
    form("a GitHub token", |filler| ["gh", "p_", filler, "abcd"].concat()),
    form("a GitHub token", |filler| ["gh", "o_", filler, "abcd"].concat()),
    form("a GitHub token", |filler| ["gh", "u_", filler, "abcd"].concat()),
    form("a GitHub token", |filler| ["gh", "s_", filler, "abcd"].concat()),
    form("a GitHub token", |filler| ["gh", "r_", filler, "abcd"].concat()),
    form("a GitHub token", |filler| ["github", "_pat_", filler, "_", filler].concat()),
    form("a GitLab token", |filler| ["gl", "pat-", &filler[..20]].concat()),
    form("a Slack token", |filler| ["xo", "xb-", "123456789012-", filler].concat()),
    form("a Slack token", |filler| ["xo", "xp-", "123456789012-", filler].concat()),
    form("a Slack token", |filler| ["xa", "pp-1-A0-", filler].concat()),
    form("a Stripe key", |filler| ["sk", "_live_", filler].concat()),
    form("a Stripe key", |filler| ["rk", "_live_", filler].concat()),
    form("a Stripe key", |filler| ["sk", "_test_", filler].concat()),
    form("a Stripe webhook secret", |filler| ["wh", "sec_", filler].concat()),
    form("a Google API key", |filler| ["AI", "za", filler, "a_B"].concat()),
    form("a Google access token", |filler| ["ya", "29.", filler].concat()),
    form("a Google client secret", |filler| ["GOC", "SPX-", filler].concat()),
    form("a SendGrid API key", |filler| ["S", "G.", &filler[..22], ".", filler, filler].concat()),
    form("an npm token", |filler| ["np", "m_", filler, "abcd"].concat()),
    form("a PyPI token", |filler| ["py", "pi-AgEIcHlwaS5vcmc", filler, filler].concat()),
    form("a Twilio key", |filler| ["S", "K", filler].concat()),
    form("a DigitalOcean token", |filler| ["do", "p_v1_", filler, filler].concat()),
    form("a Shopify token", |filler| ["shp", "at_", filler].concat()),
    form("a Vault token", |filler| ["hv", "s.", filler].concat()),
    form("a Databricks token", |filler| ["da", "pi", filler].concat()),
    form("a Telegram bot token", |filler| ["123456789", ":AA", filler, "x"].concat()),
    form("an Azure key", |filler| {
        ["AccountName=brune;Account", "Key=", filler, "+/==;EndpointSuffix=core.windows.net"]
            .concat()
    }),
    form("an Azure key", |filler| ["SharedAccess", "Key=", filler, "="].concat()),
    form("a Discord webhook's address", |filler| {
        ["https://discord", ".com/api/webhooks/1234567890/", filler].concat()
    }),
    form("a Discord webhook's address", |filler| {
        ["https://discordapp", ".com/api/v10/webhooks/1234567890/", filler].concat()
    }),
    form("a Slack webhook's address", |filler| {
        ["https://hooks.slack", ".com/services/T00000000/B00000000/", filler].concat()
    }),
    form("a private key", |filler| ["-----BEGIN RSA PRI", "VATE KEY----- MII", filler].concat()),
    form("a private key", |filler| ["-----BEGIN PRI", "VATE KEY-----\\n", filler, "\\n"].concat()),
    form("a JSON Web Token", jwt),
    form("a password in a URL", |filler| {
        ["postgres://", "brune:", filler, "@db.internal:5432/brune"].concat()
    }),
    form("a password in a URL", |filler| ["redis://", ":", filler, "@cache:6379/0"].concat()),
    form("a credential in a URL's query", |filler| {
        ["https://api.example.com/v1?page=2&access", "_token=", filler].concat()
    }),
];

/// Some more, that share a form's name or are rarer.
pub(super) const MORE: [Form; 6] = [
    form("a credential in a URL's query", |filler| {
        ["https://sso.example.com/login?user=ada&pass", "word=", filler].concat()
    }),
    form("a connection string with its password", |filler| {
        ["host=db dbname=brune user=brune pass", "word=", filler].concat()
    }),
    form("a connection string with its password", |filler| {
        ["Pwd", "=", filler, ";Server=db;Database=brune"].concat()
    }),
    form("a secret's assignment", |filler| ["STRIPE_API", "_KEY=", filler].concat()),
    form("a header with credentials", |filler| ["Authorization", ": Bearer ", filler].concat()),
    form("an age secret key", |filler| {
        let core = filler.to_uppercase();
        ["AGE-SECRET", "-KEY-1", &core, &core[..26]].concat()
    }),
];
