//! Past settings: values, versions and changes from the audit trail.

mod store;

pub(super) use store::{
    as_of, keys_changed_since, later_versions, newest_versions, revision_at, since_revision,
    since_version, values_at_versions, with_values,
};
