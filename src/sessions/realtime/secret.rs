//! Client secrets of a realtime provider.

use chrono::{DateTime, Utc};

use crate::{config::Secret, ids::RequestId};

/// A client secret, with which a client opens the session at the provider.
#[derive(Debug, Clone)]
pub struct MintedSecret {
    /// The secret; displayed as `***`.
    pub client_secret: Secret,
    /// Expiry of the secret.
    pub expires_at: DateTime<Utc>,
    /// The provider's id of the session.
    pub(in crate::sessions) session_id: String,
    /// The provider's id of the request.
    pub(in crate::sessions) request_id: Option<RequestId>,
}
