//! What an error of the database means for the work that met it, by its SQLSTATE.

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nobody: it passes, and the same work may be tried again at once.
    Passing,
    /// The operator of the database: until then nothing like it can be stored.
    Lasting,
    /// The developers of the service: a statement is wrong, or a rule of the schema was broken.
    Fault,
}

/// Classifies the SQLSTATE `code` (appendix A of the Postgres manual).
pub(super) fn classify(code: &str) -> Class {
    match code {
        // Serialization failure, deadlock, a standby, a time limit, a lock, too many connections, a database that is
        // being replaced or takes no connections.
        "40001" | "40P01" | "25006" | "57014" | "55P03" | "53300" | "3D000" | "55000" => {
            Class::Passing
        }
        // A right that is missing; an error that a trigger raises. The service's own triggers use other codes, but for
        // what the service never does.
        "42501" | "P0001" => Class::Lasting,
        _ => match code.get(..2) {
            // Connections; not being let in, as while a password is changed; shutdown.
            Some("08" | "28") => Class::Passing,
            Some("57") if code.starts_with("57P") => Class::Passing,
            // Disk, memory and configured limits; files of the server; its own faults, and corrupted data.
            Some("53" | "58" | "XX") => Class::Lasting,
            _ => Class::Fault,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_write_may_meet_has_its_class() {
        for (code, class) in [
            ("40001", Class::Passing),
            ("40P01", Class::Passing),
            ("25006", Class::Passing),
            ("55P03", Class::Passing),
            ("57014", Class::Passing),
            ("57P01", Class::Passing),
            ("57P02", Class::Passing),
            ("57P03", Class::Passing),
            ("53300", Class::Passing),
            ("08006", Class::Passing),
            ("28P01", Class::Passing),
            ("3D000", Class::Passing),
            ("53100", Class::Lasting),
            ("53200", Class::Lasting),
            ("53400", Class::Lasting),
            ("58030", Class::Lasting),
            ("58P01", Class::Lasting),
            ("XX000", Class::Lasting),
            ("XX001", Class::Lasting),
            ("42501", Class::Lasting),
            ("P0001", Class::Lasting),
            ("P0002", Class::Fault),
            ("22P02", Class::Fault),
            ("23505", Class::Fault),
            ("23514", Class::Fault),
            ("42601", Class::Fault),
            ("42P01", Class::Fault),
            ("", Class::Fault),
        ] {
            assert_eq!(classify(code), class, "{code}");
        }
    }
}
