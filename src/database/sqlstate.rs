//! Classifies database errors by SQLSTATE.

/// The reaction to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Retry: the error passes by itself.
    Transient,
    /// An operator has to act before a retry can succeed.
    Operator,
    /// A bug of the service: a wrong statement, or a violated constraint.
    Bug,
}

/// Classifies the SQLSTATE `code` (appendix A of the Postgres manual).
pub(super) fn classify(code: &str) -> Class {
    // Whole codes come before classes, because `53300` is an exception within class 53.
    match code {
        // Serialization failure, deadlock, read-only standby, statement timeout, lock timeout, too many connections, a
        // database that is being replaced or accepts no connections.
        "40001" | "40P01" | "25006" | "57014" | "55P03" | "53300" | "3D000" | "55000" => {
            Class::Transient
        }
        // A missing privilege; an error raised by a trigger. Our own triggers use other codes for everything that the
        // service does.
        "42501" | "P0001" => Class::Operator,
        _ => match code.get(..2) {
            // Connection errors; rejected logins, as while a password is changed; shutdown.
            Some("08" | "28") => Class::Transient,
            Some("57") if code.starts_with("57P") => Class::Transient,
            // Disk, memory and configured limits; I/O errors; internal errors and corrupted data.
            Some("53" | "58" | "XX") => Class::Operator,
            _ => Class::Bug,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_write_may_meet_has_its_class() {
        for (code, class) in [
            ("40001", Class::Transient),
            ("40P01", Class::Transient),
            ("25006", Class::Transient),
            ("55P03", Class::Transient),
            ("57014", Class::Transient),
            ("57P01", Class::Transient),
            ("57P02", Class::Transient),
            ("57P03", Class::Transient),
            ("53300", Class::Transient),
            ("08006", Class::Transient),
            ("28P01", Class::Transient),
            ("3D000", Class::Transient),
            ("53100", Class::Operator),
            ("53200", Class::Operator),
            ("53400", Class::Operator),
            ("58030", Class::Operator),
            ("58P01", Class::Operator),
            ("XX000", Class::Operator),
            ("XX001", Class::Operator),
            ("42501", Class::Operator),
            ("P0001", Class::Operator),
            ("P0002", Class::Bug),
            ("22P02", Class::Bug),
            ("23505", Class::Bug),
            ("23514", Class::Bug),
            ("42601", Class::Bug),
            ("42P01", Class::Bug),
            ("", Class::Bug),
        ] {
            assert_eq!(classify(code), class, "{code}");
        }
    }
}
