//! What people write every day is taken for no secret.

use std::collections::HashSet;

use brune::secret_scanner::SecretScanner;
use serde_json::json;

use super::LEVELS;
use crate::{
    config::{document, import},
    settings::{patch, value_of},
    support::{TestApp, firewall},
};

const MODELS: [&str; 42] = [
    "gpt-realtime-2025-08-28",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-mini-realtime-preview",
    "gpt-4.1-nano-2025-04-14",
    "o1-preview",
    "o3-mini-2025-01-31",
    "o4-mini-deep-research-2025-06-26",
    "chatgpt-4o-latest",
    "gpt-5-codex",
    "text-embedding-3-large",
    "text-moderation-latest",
    "omni-moderation-2024-09-26",
    "whisper-1",
    "tts-1-hd-1106",
    "gpt-image-1",
    "dall-e-3",
    "ft:gpt-4o-mini-2024-07-18:brune:evening-coach:AbCd1234",
    "claude-opus-4-1-20250805",
    "claude-3-5-sonnet-20241022",
    "claude-3-haiku@20240307",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "gemini-2.5-flash-preview-native-audio-dialog",
    "gemini-1.5-pro-002",
    "models/gemini-2.0-flash-exp",
    "llama-3.3-70b-versatile",
    "meta-llama/Llama-3.1-405B-Instruct",
    "mistral-large-2411",
    "open-mixtral-8x22b",
    "codestral-2501",
    "deepseek-r1-distill-llama-70b",
    "Qwen/Qwen2.5-72B-Instruct",
    "command-r-plus-08-2024",
    "sk-learn-classification-pipeline-v2",
    "sk-learn",
    "hf-internal-testing/tiny-random-bert",
    "mixtral-8x7b-32768",
    "xai/grok-4-fast-reasoning",
    "azure/gpt-4o-eastus-deployment",
];

const PROMPTS: [&str; 20] = [
    "pmpt_brune_default",
    "pmpt_68b0c3a5d7e48190a1f2c3d4e5f60718293a4b5c6d7e8f90",
    "pmpt_68c1f2e4b3a48193bb5e6d7c8f9a0b1c2d3e4f5061728394a5",
    "pmpt_6890aabbccddeeff00112233445566778899aabbccddeeff",
    "pmpt_evening_calm_v7",
    "pmpt_68d4e5f6a7b881979c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f6a7b8",
    "prompt-2025-11-22-final",
    "coach/level-b2/warmup",
    "asst_abc123DEF456ghi789JKL012",
    "thread_9fK2mQ7xW4vB1nZ8",
    "file-Qm3x8YbT5rLs2Vw7Jd9KcE",
    "vs_68a1b2c3d4e5f60718293a4b",
    "resp_68b0c3a5d7e48190a1f2c3d4e5f60718293a4b5c",
    "batch_68b0c3a5d7e48190a1f2",
    "run_2Hq8vXc5",
    "conv_68b0c3a5d7e48190a1f2c3d4e5f60718",
    "org-Zx81kQpLm03vTyBn",
    "proj_a8Kq2LmZ",
    "sess_C9xYz12AbQ8dEf",
    "ev_test_2025_11",
];

const LEVELS_OF_USERS: [&str; 24] = [
    "junior",
    "mid",
    "senior",
    "staff",
    "principal",
    "A1",
    "A2",
    "B1.2",
    "C2",
    "level-3",
    "débutant",
    "中級",
    "tier_gold",
    "PRO",
    "enterprise-plus",
    "beta testers",
    "staff+",
    "L5/L6",
    "0",
    "free",
    "trial-14d",
    "VIP ⭐",
    "risk-averse-learners-of-many-languages",
    "week_2025_47_cohort_of_evening_learners",
];

const URLS: [&str; 40] = [
    "https://api.openai.com/v1",
    "https://api.openai.com/v1/realtime/client_secrets",
    "https://porte-talent.example.com:8443/api/v2/",
    "http://localhost:8080/readyz?verbose",
    "http://[::1]:8080/livez",
    "https://[2001:db8::7]:8443/a@b",
    "postgres://db.internal:5432/brune",
    "postgres://brune@db.internal/brune",
    "postgresql:///brune?host=/run/postgresql&sslmode=disable",
    "redis://cache:6379/0",
    "amqp://queue.internal/vhost",
    "https://example.com/users/ada:lovelace@analytical/engine",
    "https://example.com/a?page=2&token_type=bearer",
    "https://example.com/list?next_page_token=2&limit=50",
    "https://example.com/s?q=how+to+reset+a+password",
    "https://example.com/reset?secret=false",
    "https://example.com/callback?state=on&token=",
    "ssh://git@github.com/brune/brune.git",
    "git@github.com:brune/brune.git",
    "https://github.com/brune/brune/commit/9fceb02d0ae598e95dc970b74767f19372d61af8",
    "https://discord.com/channels/1234567890/9876543210",
    "https://discord.gg/aBcDeFgH",
    "https://discord.com/developers/docs/resources/webhook",
    "https://hooks.slack.com/",
    "https://brune.slack.com/archives/C01234567/p1700000000000100",
    "wss://api.openai.com/v1/realtime?model=gpt-realtime-2025-08-28",
    "s3://brune-exports/2025/11/22/settings.json",
    "gs://brune-backups/daily",
    "file:///etc/brune/catalog.toml",
    "mailto:ada@example.com",
    "urn:uuid:0198c1d2-7e3f-7a4b-8c5d-6e7f8091a2b3",
    "data:text/plain,hello",
    "https://brune.example.com/admin/#/settings?key=BRUNE_PROMPT_ID",
    "//cdn.example.com/logo.svg",
    "https://example.com/?signature=none&v=3",
    "https://user@example.com/inbox",
    "tel:+49-30-1234567",
    "jdbc:postgresql://db:5432/brune",
    "mongodb+srv://cluster0.example.net/brune?retryWrites=true",
    "https://docs.example.com/api-keys#rotating-an-api-key",
];

const IDENTIFIERS: [&str; 40] = [
    "0198c1d2-7e3f-7a4b-8c5d-6e7f8091a2b3",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "d41d8cd98f00b204e9800998ecf8427e",
    "01JD8Z7K3QW5X9Y2V4T6R8P0NM",
    "507f1f77bcf86cd799439011",
    "cus_Nffrf2wZ8hYb1Q",
    "price_1MoBy5LkdIwHu7ixZhnattbh",
    "arn:aws:iam::123456789012:role/brune-prod",
    "eu-central-1",
    "i-0abcd1234ef567890",
    "AKIA",
    "ASIATIC-LANGUAGES-COHORT",
    "SK-II",
    "SKU1234567890",
    "ghp_",
    "npm_config_registry",
    "whsec",
    "xoxo",
    "eyJ",
    "eyJhbGci.not-a-token.at-all",
    "SG.3",
    "AIza",
    "pypi-attestations",
    "hf_hub",
    "sk-",
    "sk-proj-",
    "ek_1",
    "ya29.",
    "v1.2.3-rc.1+build.20251122",
    "2025-11-22T10:00:00Z",
    "P1DT12H",
    "*/15 8-20 * * 1-5",
    "Europe/Berlin",
    "en-GB-oxendict",
    "db-primary.brune.svc.cluster.local",
    "10.0.0.0/8",
    "^pmpt_[A-Za-z0-9_-]+$",
];

const WORDS: [&str; 34] = [
    "calmer evenings",
    "rolled back after the incident of 22 November",
    "rotating the API key of OpenAI tomorrow; no change here",
    "password reset mails go out again",
    "the token budget was too small: max_tokens=100000",
    "asked for by ada@example.com (#4711)",
    "JIRA BRUNE-1234: longer sessions for plan `pro`",
    "experiment 7: risk-of-repetition-and-disk-usage",
    "bearer of good news",
    "PASSWORD is set by whoever deploys",
    "set JWT_SECRET in the environment, not here",
    "API_KEY=${OPENAI_API_KEY}",
    "OPENAI_API_KEY=<from the vault>",
    "host=db user=brune sslmode=verify-full",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
    "key: value; other: 2",
    "see https://wiki.example.com/brune?page=3 and ask @grace:",
    "100 % more; 3 < 5 & 7 > 2",
    "It's \"quoted\", isn't it?",
    "Grüße aus Köln",
    "設定を変更しました",
    "👩‍🚀 launch",
    "a: b@c",
    "user:name at host",
    "note://to:self",
    "sk- means secret key",
    "Authorization: required",
    "authorization: bearer {token}",
    "ADMIN_WRITE_RATE_LIMIT_PER_MINUTE=60",
    "MAX_OUTPUT_TOKENS=128000",
    "BRUNE_COOLDOWN_MINUTES=45",
    "correct horse battery staple",
    "a secret for tests",
];

fn ordinary() -> Vec<&'static str> {
    let lists: [&[&str]; 6] = [&MODELS, &PROMPTS, &LEVELS_OF_USERS, &URLS, &IDENTIFIERS, &WORDS];
    lists.concat()
}

#[tokio::test]
async fn two_hundred_ordinary_values_are_not_taken_for_secrets() {
    let values = ordinary();
    assert!(200 <= values.len() && values.iter().collect::<HashSet<_>>().len() == values.len());
    let plain = SecretScanner::default();
    let holding = firewall();
    let taken = |text: &&&str| plain.scan(text).or(holding.scan(text)).is_some();
    assert_eq!(values.iter().filter(taken).collect::<Vec<_>>(), Vec::<&&str>::new());
    let app = TestApp::new().await;
    let mut version = 1;
    for values in values.chunks(20) {
        let changes = json!([{"key": LEVELS, "value": values, "version": version}]);
        patch(&app.instance, &changes).send().await.ok();
        version += 1;
        assert_eq!(value_of(&app, LEVELS).await, (json!(values), version));
    }
}

#[tokio::test]
async fn ordinary_values_are_accepted_as_reasons_and_document_entries() {
    let app = TestApp::new().await;
    for (number, value) in ordinary().into_iter().enumerate() {
        let text = document(&json!({LEVELS: [value]}));
        import(&app.instance, "reason=a+test", "application/json", &text).send().await.ok();
        if 3 <= value.chars().count() {
            let reason: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let text = document(&json!({LEVELS: [number.to_string()]}));
            let query = format!("reason={reason}");
            import(&app.instance, &query, "application/json", &text).send().await.ok();
        }
    }
}
