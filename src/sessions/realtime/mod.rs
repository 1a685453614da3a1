//! Realtime providers: from prompt and model to a client secret, which is returned once and never stored.

mod error;
mod openai;
mod secret;

pub use error::RealtimeError;
pub use secret::MintedSecret;

use reqwest::Url;
use tokio::time::Instant;

use crate::{
    config::Secret,
    ids::RequestId,
    metrics::Metrics,
    outbound::OutboundError,
    sessions::{realtime::openai::OpenAi, session::Session},
};

/// A realtime provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Realtime(Provider);

#[derive(Debug, Clone)]
enum Provider {
    OpenAi(OpenAi),
}

impl Realtime {
    /// Creates a client of OpenAI's realtime API at `root`.
    ///
    /// # Errors
    /// TLS is not available on this machine.
    pub fn openai(root: Url, key: Secret, metrics: Metrics) -> Result<Self, OutboundError> {
        OpenAi::new(root, key, metrics).map(Provider::OpenAi).map(Self)
    }

    /// Requests a client secret for `session` until `until`. `instructions` replace the stored prompt.
    pub(super) async fn mint(
        &self,
        session: &Session,
        instructions: Option<&str>,
        request: &RequestId,
        until: Instant,
    ) -> Result<MintedSecret, RealtimeError> {
        match &self.0 {
            Provider::OpenAi(client) => client.mint(session, instructions, request, until).await,
        }
    }
}
