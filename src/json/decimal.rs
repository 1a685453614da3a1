//! Decimal numbers with every digit kept.

/// A decimal number, exact: significant digits times a power of ten.
///
/// Two texts of the same number are equal: neither leading nor trailing zeros are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Parses the text of a JSON number. Returns `None` for other text and for an exponent beyond an `i64`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Parsed by hand, because every float or fixed-point type would lose digits.
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{integer}{fraction}");
        // Also rejects `inf`, `NaN` and `null`, as printed for special floats.
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Normalized, so that equal numbers have equal fields.
        let significant = all.trim_end_matches('0');
        let trailing_zeros = i64::try_from(all.len() - significant.len()).ok()?;
        let fraction_digits = i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            // Before the exponent is read: zero is zero however large the exponent.
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        let exponent = exponent.parse::<i64>().ok()?;
        // Checked, because the exponent comes from the client.
        let exponent = exponent.checked_sub(fraction_digits)?.checked_add(trailing_zeros)?;
        Some(Self { is_negative, digits, exponent })
    }

    /// Returns the number as an integer. Returns `None` for a fraction and beyond an `i64`.
    #[must_use]
    pub fn to_integer(&self) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        // An `i64` has 19 digits: more zeros overflow anyway and must not be written out.
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{}{}", self.digits, "0".repeat(zeros)).parse().ok()
    }
}

/// Returns the integer that the JSON number `text` denotes, in any notation (`30`, `30.0`, `3e1`).
///
/// Returns `None` for a fraction and beyond an `i64`. No float is involved, so no digit is lost.
#[must_use]
pub fn integral(text: &str) -> Option<i64> {
    Decimal::parse(text)?.to_integer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_recognized_in_every_notation() {
        for (text, value) in [
            ("30", 30),
            ("30.0", 30),
            ("3e1", 30),
            ("3E+1", 30),
            ("300e-1", 30),
            ("0.3e2", 30),
            ("-30.00", -30),
            ("0", 0),
            ("-0", 0),
            ("9e18", 9_000_000_000_000_000_000),
            ("0e999999999999999999999", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1000000000000000000000e-20", 10),
        ] {
            assert_eq!(integral(text), Some(value), "{text}");
        }
        for text in [
            "30.5",
            "3e-1",
            "9223372036854775808",
            "1e19",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1180591620717411303424",
        ] {
            assert_eq!(integral(text), None, "{text}");
        }
    }

    #[test]
    fn two_texts_of_one_number_are_equal() {
        for (left, right) in
            [("1.50", "15e-1"), ("0.0", "-0e7"), ("-120", "-1.2E2"), ("0.001", "1e-3")]
        {
            assert_eq!(Decimal::parse(left), Decimal::parse(right), "{left} {right}");
        }
        assert_ne!(Decimal::parse("0.1"), Decimal::parse("0.1000000000000000055"));
        for text in ["", "-", ".", "inf", "null", "1x", "--1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn integers_agree_with_exact_arithmetic(n in -1_000_000i64..1_000_000, e in 0u32..6) {
            assert_eq!(integral(&format!("{n}e{e}")), Some(n * 10i64.pow(e)));
            assert_eq!(integral(&format!("{n}.000")), Some(n));
            assert_eq!(integral(&format!("{n}e-{e}")), (n % 10i64.pow(e) == 0).then(|| n / 10i64.pow(e)));
        }
    }
}
