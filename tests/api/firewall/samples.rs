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
    form("an OpenAI API key", |it| ["sk", "-proj-", it, "_", it].concat()),
    form("an OpenAI API key", |it| ["sk", "-svcacct-", it].concat()),
    form("an API key of OpenAI's form", |it| ["sk", "-", it].concat()),
    form("a client secret of OpenAI's", |it| ["ek", "_", it].concat()),
    form("an Anthropic API key", |it| ["sk", "-ant-", "api03-", it, "-AA"].concat()),
    form("an xAI API key", |it| ["xai", "-", it, it].concat()),
    form("a Groq API key", |it| ["gsk", "_", it, it].concat()),
    form("a Perplexity API key", |it| ["pplx", "-", it, it].concat()),
    form("a Replicate token", |it| ["r8", "_", it, "a1b2c"].concat()),
    form("a Hugging Face token", |it| ["hf", "_", it, "ab"].concat()),
    form("an AWS access key", |it| ["AK", "IA", &it[..16].to_uppercase()].concat()),
    form("an AWS access key", |it| ["AS", "IA", &it[..16].to_uppercase()].concat()),
    form("an AWS secret key", |it| ["aws_secret_access", "_key = ", it, "/+aB34Xy"].concat()),
    form("a GitHub token", |it| ["gh", "p_", it, "abcd"].concat()),
    form("a GitHub token", |it| ["gh", "o_", it, "abcd"].concat()),
    form("a GitHub token", |it| ["gh", "u_", it, "abcd"].concat()),
    form("a GitHub token", |it| ["gh", "s_", it, "abcd"].concat()),
    form("a GitHub token", |it| ["gh", "r_", it, "abcd"].concat()),
    form("a GitHub token", |it| ["github", "_pat_", it, "_", it].concat()),
    form("a GitLab token", |it| ["gl", "pat-", &it[..20]].concat()),
    form("a Slack token", |it| ["xo", "xb-", "123456789012-", it].concat()),
    form("a Slack token", |it| ["xo", "xp-", "123456789012-", it].concat()),
    form("a Slack token", |it| ["xa", "pp-1-A0-", it].concat()),
    form("a Stripe key", |it| ["sk", "_live_", it].concat()),
    form("a Stripe key", |it| ["rk", "_live_", it].concat()),
    form("a Stripe key", |it| ["sk", "_test_", it].concat()),
    form("a Stripe webhook secret", |it| ["wh", "sec_", it].concat()),
    form("a Google API key", |it| ["AI", "za", it, "a_B"].concat()),
    form("a Google access token", |it| ["ya", "29.", it].concat()),
    form("a Google client secret", |it| ["GOC", "SPX-", it].concat()),
    form("a SendGrid API key", |it| ["S", "G.", &it[..22], ".", it, it].concat()),
    form("an npm token", |it| ["np", "m_", it, "abcd"].concat()),
    form("a PyPI token", |it| ["py", "pi-AgEIcHlwaS5vcmc", it, it].concat()),
    form("a Twilio key", |it| ["S", "K", it].concat()),
    form("a DigitalOcean token", |it| ["do", "p_v1_", it, it].concat()),
    form("a Shopify token", |it| ["shp", "at_", it].concat()),
    form("a Vault token", |it| ["hv", "s.", it].concat()),
    form("a Databricks token", |it| ["da", "pi", it].concat()),
    form("a Telegram bot token", |it| ["123456789", ":AA", it, "x"].concat()),
    form("an Azure key", |it| {
        ["AccountName=brune;Account", "Key=", it, "+/==;EndpointSuffix=core.windows.net"].concat()
    }),
    form("an Azure key", |it| ["SharedAccess", "Key=", it, "="].concat()),
    form("a Discord webhook's address", |it| {
        ["https://discord", ".com/api/webhooks/1234567890/", it].concat()
    }),
    form("a Discord webhook's address", |it| {
        ["https://discordapp", ".com/api/v10/webhooks/1234567890/", it].concat()
    }),
    form("a Slack webhook's address", |it| {
        ["https://hooks.slack", ".com/services/T00000000/B00000000/", it].concat()
    }),
    form("a private key", |it| ["-----BEGIN RSA PRI", "VATE KEY----- MII", it].concat()),
    form("a private key", |it| ["-----BEGIN PRI", "VATE KEY-----\\n", it, "\\n"].concat()),
    form("a JSON Web Token", jwt),
    form("a password in a URL", |it| {
        ["postgres://", "brune:", it, "@db.internal:5432/brune"].concat()
    }),
    form("a password in a URL", |it| ["redis://", ":", it, "@cache:6379/0"].concat()),
    form("a credential in a URL's query", |it| {
        ["https://api.example.com/v1?page=2&access", "_token=", it].concat()
    }),
];

/// Some more, that share a form's name or are rarer.
pub(super) const MORE: [Form; 6] = [
    form("a credential in a URL's query", |it| {
        ["https://sso.example.com/login?user=ada&pass", "word=", it].concat()
    }),
    form("a connection string with its password", |it| {
        ["host=db dbname=brune user=brune pass", "word=", it].concat()
    }),
    form("a connection string with its password", |it| {
        ["Pwd", "=", it, ";Server=db;Database=brune"].concat()
    }),
    form("a secret's assignment", |it| ["STRIPE_API", "_KEY=", it].concat()),
    form("a header with credentials", |it| ["Authorization", ": Bearer ", it].concat()),
    form("an age secret key", |it| {
        let core = it.to_uppercase();
        ["AGE-SECRET", "-KEY-1", &core, &core[..26]].concat()
    }),
];
