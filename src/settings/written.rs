//! A setting after a write.

use crate::{
    database::Pool,
    settings::{
        change::{ChangeResult, KeyChange},
        current::GlobalSettingsService,
        read::{self, AsOf, Error, Setting},
    },
};

/// The state to show after a write.
#[derive(Debug, PartialEq)]
enum State {
    /// The current state.
    Current,
    /// The current state with the planned value and version.
    Planned(KeyChange),
    /// The state at the revision of the write: the setting has a later change.
    AtRevision,
}

/// Chooses the state to show of a setting at `current_version` after the write of `change`.
fn choose(current_version: i32, change: Option<KeyChange>, is_dry_run: bool) -> State {
    match change {
        Some(change) if is_dry_run => State::Planned(change),
        // A repeated request, or another write was faster than the read.
        Some(change) if change.version != current_version => State::AtRevision,
        _ => State::Current,
    }
}

/// Returns the setting `key` after the write `changed`, without later changes; for a dry run, after the planned write.
///
/// # Errors
/// The setting cannot be read.
pub async fn find_written(
    pool: &Pool,
    settings: &GlobalSettingsService,
    key: &str,
    changed: ChangeResult,
) -> Result<Setting, Error> {
    let ChangeResult { revision, dry_run, changed, .. } = changed;
    let mut setting = read::find(pool, settings, key).await?;
    match choose(setting.version, changed.into_iter().next(), dry_run) {
        State::Current => (),
        State::Planned(change) => {
            setting.value = change.new_value.to_json();
            setting.version = change.version;
        }
        State::AtRevision => {
            let listing = read::list(pool, settings, AsOf::Revision(revision)).await?;
            let then = listing.settings.into_iter().find(|setting| setting.key == key);
            setting = then.unwrap_or(setting);
        }
    }
    Ok(setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingValue;

    #[test]
    fn a_setting_that_changed_again_is_shown_as_the_write_left_it() {
        let new_value = SettingValue::String("b".to_owned());
        let change = KeyChange { key: "A".to_owned(), old_value: None, new_value, version: 3 };
        assert_eq!(choose(3, Some(change.clone()), false), State::Current);
        assert_eq!(choose(4, Some(change.clone()), false), State::AtRevision);
        assert_eq!(choose(2, Some(change.clone()), true), State::Planned(change));
        assert_eq!(choose(2, None, true), State::Current);
    }
}
