//! Discord: alerts as embeds, posted to a webhook whose address is itself a secret.

mod embed;
mod render;
mod text;
mod webhook;

pub use embed::Embed;
pub(super) use render::embed;
pub use text::{code, cut, plain};
pub use webhook::Discord;
