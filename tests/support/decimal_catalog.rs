//! A catalog for numbers with and without a fraction.

/// Declares `RATE`, a decimal, and `LIMIT`, an integer.
pub(crate) const DECIMAL_CATALOG: &str = r#"
catalog = "tariffs"
description = "A rate and a limit."

[[setting]]
key = "RATE"
category = "billing"
type = "number"
default = 5.5
applies = "hot"
description = "Percent."

[[setting]]
key = "LIMIT"
category = "billing"
type = "number"
default = 6
applies = "hot"
description = "A whole number."
constraints = { integer = true }
"#;
