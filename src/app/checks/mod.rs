//! The checks of a database, for the startup guard and for `brune doctor`.

pub(super) mod proposals;
pub(super) mod role;
pub(super) mod schema;
pub(super) mod stored;

/// The result of a check.
#[derive(Debug)]
pub struct CheckResult {
    /// The name of the check.
    pub check: &'static str,
    /// A summary, or every problem.
    pub result: Result<String, Vec<String>>,
}

impl CheckResult {
    /// Creates a result with `summary`, unless there are `problems`.
    fn new(check: &'static str, problems: Vec<String>, summary: impl Into<String>) -> Self {
        let result = if problems.is_empty() { Ok(summary.into()) } else { Err(problems) };
        Self { check, result }
    }
}
