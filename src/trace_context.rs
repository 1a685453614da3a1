//! W3C Trace Context, level 1 (`traceparent`, `tracestate`): continues a caller's trace and propagates the context to
//! outbound calls.

use rand::RngExt as _;

/// The header with trace id, parent id and flags.
pub const TRACEPARENT: &str = "traceparent";

/// The header with vendor-specific data.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The most members of a propagated `tracestate`.
const MAX_MEMBERS: usize = 32;

/// The most characters of a propagated `tracestate`.
// The specification asks for the propagation of at least 512 characters.
const MAX_CHARACTERS: usize = 512;

/// The most characters of a member that is kept when the `tracestate` is too long.
const LONG_MEMBER: usize = 128;

/// The flag of a recorded trace, the only flag of this version.
const SAMPLED: u8 = 1;

/// The trace context of a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` to propagate; the ids of the log are slices.
    parent: [u8; LENGTH],
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Begins a trace. The trace counts as recorded, because the log has a line with its id for each request.
    #[must_use]
    pub fn begin() -> Self {
        Self::of(&random_hex::<16, 32>(), SAMPLED, None)
    }

    /// Continues a caller's trace, if `traceparent` is valid. `states` are the values of all `tracestate` headers, in order.
    #[must_use]
    pub fn continued<'a>(
        traceparent: &str,
        states: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let (id, flags) = parse(traceparent.as_bytes())?;
        // Unknown flags must be propagated as 0.
        Some(Self::of(&id, flags & SAMPLED, joined_state(states)))
    }

    fn of(id: &[u8; 32], flags: u8, state: Option<Box<str>>) -> Self {
        let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
        parent[3..35].copy_from_slice(id);
        parent[36..52].copy_from_slice(&random_hex::<8, 16>());
        // The template has the digit `0` at the position, so the sum is an ASCII digit.
        parent[54] += flags;
        Self { parent, state }
    }

    /// Returns the id of the trace: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.traceparent()[3..35]
    }

    /// Returns the id of the span of this request: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.traceparent()[36..52]
    }

    /// Returns the `traceparent` for outbound calls.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        // ASCII by construction, so the default is never used.
        str::from_utf8(&self.parent).unwrap_or_default()
    }

    /// Returns the `tracestate` for outbound calls, if the caller sent a valid one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// Parses the id of the trace and the flags. Of a future version, only the known fields are read.
fn parse(header: &[u8]) -> Option<([u8; 32], u8)> {
    let version = number(header.get(..2)?)?;
    let has_valid_length = match version {
        0 => header.len() == LENGTH,
        // Version ff is forbidden by the specification.
        0xff => false,
        _ => header.len() == LENGTH || header.get(LENGTH) == Some(&b'-'),
    };
    let has_dashes = [2, 35, 52].into_iter().all(|at| header.get(at) == Some(&b'-'));
    let id: [u8; 32] = header.get(3..35)?.try_into().ok()?;
    let has_valid_ids = is_id(&id) && is_id(header.get(36..52)?);
    (has_valid_length && has_dashes && has_valid_ids).then_some((id, number(header.get(53..55)?)?))
}

/// Returns whether `digits` are lowercase hexadecimal digits and not all 0.
fn is_id(digits: &[u8]) -> bool {
    digits.iter().all(|byte| digit(*byte).is_some()) && digits.iter().any(|byte| *byte != b'0')
}

fn number(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |number, byte| Some(number << 4 | digit(*byte)?))
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// Returns the hexadecimal digits of random bytes that are not all 0.
fn random_hex<const BYTES: usize, const DIGITS: usize>() -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES) };
    let mut bytes = [0_u8; BYTES];
    while bytes.iter().all(|byte| *byte == 0) {
        rand::rng().fill(&mut bytes);
    }
    let digit = |at: usize| {
        let half = if at.is_multiple_of(2) { bytes[at / 2] >> 4 } else { bytes[at / 2] & 15 };
        b"0123456789abcdef"[usize::from(half)]
    };
    std::array::from_fn(digit)
}

/// Joins the members of all `states` within the limits. Returns `None` if a member is invalid.
fn joined_state<'a>(states: impl IntoIterator<Item = &'a str>) -> Option<Box<str>> {
    let is_blank = |c| matches!(c, ' ' | '\t');
    let members = states.into_iter().flat_map(|state| state.split(','));
    let members = members.map(|member| member.trim_matches(is_blank));
    let mut list: Vec<&str> = Vec::new();
    // Empty members are valid by the specification.
    for member in members.filter(|member| !member.is_empty()) {
        let key = key(member)?;
        let is_repeated = list.iter().any(|member| member.split('=').next() == Some(key));
        // An invalid list is dropped as a whole, never repaired.
        if list.len() == MAX_MEMBERS || is_repeated {
            return None;
        }
        list.push(member);
    }
    // One more for the comma that the last member does not have.
    let is_too_long = |list: &[&str]| {
        list.iter().map(|member| member.len() + 1).sum::<usize>() > MAX_CHARACTERS + 1
    };
    // The specification drops long members first, then members at the end.
    if is_too_long(&list) {
        list.retain(|member| member.len() <= LONG_MEMBER);
    }
    while is_too_long(&list) {
        list.pop();
    }
    (!list.is_empty()).then(|| list.join(",").into())
}

/// Returns the key of a `tracestate` member, if the member is valid.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let is_key_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let is_part =
        |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(is_key_byte);
    let begins = |part: &str, digits: bool| {
        let is_first = |b: u8| b.is_ascii_lowercase() || digits && b.is_ascii_digit();
        part.bytes().next().is_some_and(is_first)
    };
    // The lengths and first characters come from the grammar of the specification.
    let is_valid_key = match key.split_once('@') {
        None => begins(key, false) && is_part(key, 256),
        Some((tenant, system)) => {
            begins(tenant, true)
                && is_part(tenant, 241)
                && begins(system, false)
                && is_part(system, 14)
        }
    };
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let is_valid_value = (1..=256).contains(&value.len()) && value.bytes().all(is_printable);
    (is_valid_key && is_valid_value).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn continued(header: &str) -> Option<TraceContext> {
        TraceContext::continued(header, [])
    }

    #[test]
    fn a_continued_trace_has_a_new_span() {
        let trace = continued(VALID).unwrap();
        assert_eq!(trace.id(), ID);
        assert_ne!(trace.span_id(), "00f067aa0ba902b7");
        assert_eq!(trace.traceparent(), format!("00-{ID}-{}-01", trace.span_id()));
        // Unknown flags are not propagated.
        let flags = |flags: &str| {
            let trace = continued(&VALID.replace("-01", flags)).unwrap();
            trace.traceparent()[53..].to_owned()
        };
        assert_eq!([flags("-00"), flags("-ff"), flags("-fe")], ["00", "01", "00"]);
        assert_eq!(continued(trace.traceparent()).unwrap().id(), ID);
    }

    #[test]
    fn the_known_fields_of_a_future_version_are_read() {
        for header in
            [VALID.replacen("00", "cc", 1), format!("{VALID}-what-comes").replacen("00", "01", 1)]
        {
            let trace = continued(&header).unwrap();
            assert_eq!((trace.id(), &trace.traceparent()[..3]), (ID, "00-"), "{header}");
        }
        let glued = format!("{VALID}what").replacen("00", "cc", 1);
        for header in [VALID.replacen("00", "ff", 1), glued, format!("{VALID}-more")] {
            assert_eq!(continued(&header), None, "{header}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let zero = |digits: usize| "0".repeat(digits);
        for header in [
            String::new(),
            "00".to_owned(),
            VALID.to_uppercase(),
            VALID.replace('a', "g"),
            VALID.replace('-', "_"),
            VALID.replace(ID, &zero(32)),
            VALID.replace("00f067aa0ba902b7", &zero(16)),
            VALID[1..].to_owned(),
            VALID[..54].to_owned(),
            format!("{VALID} "),
            format!(" {VALID}"),
            VALID.replace("-01", "-0x"),
            VALID.replacen("00", "0x", 1),
            VALID.replacen('4', "é", 1),
        ] {
            assert_eq!(continued(&header), None, "{header}");
        }
        // A dash in the wrong position.
        assert_eq!(continued("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01"), None);
    }

    #[test]
    fn a_new_trace_is_valid_and_unique() {
        let trace = TraceContext::begin();
        assert_ne!(trace.id(), TraceContext::begin().id());
        assert_eq!(continued(trace.traceparent()).unwrap().id(), trace.id());
        assert!(trace.traceparent().ends_with("-01") && trace.tracestate().is_none());
    }

    #[test]
    fn the_tracestate_is_propagated_within_limits() {
        let propagated = |states: &[&str]| {
            let trace = TraceContext::continued(VALID, states.iter().copied()).unwrap();
            trace.tracestate().map(str::to_owned)
        };
        assert_eq!(propagated(&["a=1, b=2\t", ",c@d=3"]).unwrap(), "a=1,b=2,c@d=3");
        assert_eq!(propagated(&["4@a=1,b*/_-= x "]).unwrap(), "4@a=1,b*/_-= x");
        for member in
            ["a", "=1", "A=1", "1=1", "a=", "a=1=2", "a=é", "a=1,a=2", "@b=1", "a@=1", "a@4=1"]
        {
            assert_eq!(propagated(&[member]), None, "{member}");
        }
        let members = |count: usize, length: usize| -> String {
            let member = |n| format!("k{n:02}={}", "x".repeat(length - 4));
            (0..count).map(member).collect::<Vec<_>>().join(",")
        };
        assert_eq!(propagated(&[&members(33, 5)]), None);
        assert_eq!(propagated(&[&members(32, 15)]).unwrap().len(), 32 * 16 - 1);
        // Long members are dropped first, then complete members from the end.
        assert_eq!(propagated(&[&members(32, 20)]).unwrap(), members(24, 20));
        let long = format!("long={},{}", "y".repeat(200), members(20, 20));
        assert_eq!(propagated(&[&long]).unwrap(), members(20, 20));
    }
}
