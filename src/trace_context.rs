//! Which trace a request belongs to: W3C Trace Context, level 1 (`traceparent`, `tracestate`). What a caller began is
//! continued, and passed on with every call that is made meanwhile.

use std::future::Future;

use rand::RngExt as _;

/// The name of the header that says which trace a request belongs to.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the header in which systems that trace keep what only they understand.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// What of a `tracestate` is passed on at most: members, characters in all, and the longest member that is kept when
/// there are too many.
const MEMBERS: usize = 32;
const CHARACTERS: usize = 512;
const LONG_MEMBER: usize = 128;

/// Of the flags the one with a meaning: somebody records this trace.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A trace, and the place of one request in it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Version, trace, this request and flags, as they are sent on: what is logged are parts of it.
    parent: [u8; LENGTH],
    state: Option<Box<str>>,
}

impl TraceContext {
    /// One that begins here. It counts as recorded: every request has its line in the log, with the trace's id.
    #[must_use]
    pub fn begin() -> Self {
        Self::of(&hex_of::<16, 32>(), SAMPLED, None)
    }

    /// The caller's, if `traceparent` is one; `states` are the values of every `tracestate`, in order.
    #[must_use]
    pub fn continued<'a>(
        traceparent: &str,
        states: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let (id, flags) = parse(traceparent.as_bytes())?;
        Some(Self::of(&id, flags & SAMPLED, state(states)))
    }

    fn of(id: &[u8; 32], flags: u8, state: Option<Box<str>>) -> Self {
        let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
        parent[3..35].copy_from_slice(id);
        parent[36..52].copy_from_slice(&hex_of::<8, 16>());
        parent[54] += flags;
        Self { parent, state }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.traceparent()[3..35]
    }

    /// This request's own id in it: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.traceparent()[36..52]
    }

    /// The header for calls that are made for this request.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        // Made of ASCII.
        str::from_utf8(&self.parent).unwrap_or_default()
    }

    /// The other header for them, if the caller sent one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// What `work` returns, which is done for this trace.
    pub fn around<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// The trace that the running task works for, if it does for one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }
}

/// The id of the trace and its flags. Of a version of the future only what this one knows is looked at.
fn parse(header: &[u8]) -> Option<([u8; 32], u8)> {
    let version = number(header.get(..2)?)?;
    let whole = match version {
        0 => header.len() == LENGTH,
        0xff => false,
        _ => header.len() == LENGTH || header.get(LENGTH) == Some(&b'-'),
    };
    let dashes = [2, 35, 52].into_iter().all(|at| header.get(at) == Some(&b'-'));
    let id: [u8; 32] = header.get(3..35)?.try_into().ok()?;
    let valid = is_id(&id) && is_id(header.get(36..52)?);
    (whole && dashes && valid).then_some((id, number(header.get(53..55)?)?))
}

/// Digits in lower case, and not all of them 0.
fn is_id(digits: &[u8]) -> bool {
    digits.iter().all(|it| digit(*it).is_some()) && digits.iter().any(|it| *it != b'0')
}

fn number(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |number, it| Some(number << 4 | digit(*it)?))
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// So many random bytes in twice as many digits; never all 0.
fn hex_of<const BYTES: usize, const DIGITS: usize>() -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES) };
    let mut bytes = [0_u8; BYTES];
    while bytes.iter().all(|it| *it == 0) {
        rand::rng().fill(&mut bytes);
    }
    let digit = |at: usize| {
        let half = if at.is_multiple_of(2) { bytes[at / 2] >> 4 } else { bytes[at / 2] & 15 };
        b"0123456789abcdef"[usize::from(half)]
    };
    std::array::from_fn(digit)
}

/// The members of all `states` as one list, as much of it as is passed on; `None` if one is no member.
fn state<'a>(states: impl IntoIterator<Item = &'a str>) -> Option<Box<str>> {
    let blank = |c| matches!(c, ' ' | '\t');
    let members = states.into_iter().flat_map(|it| it.split(',')).map(|it| it.trim_matches(blank));
    let mut kept: Vec<&str> = Vec::new();
    for member in members.filter(|it| !it.is_empty()) {
        let key = key(member)?;
        if kept.len() == MEMBERS || kept.iter().any(|it| it.split('=').next() == Some(key)) {
            return None;
        }
        kept.push(member);
    }
    let length = |kept: &[&str]| kept.iter().map(|it| it.len() + 1).sum::<usize>();
    if CHARACTERS + 1 < length(&kept) {
        kept.retain(|it| it.len() <= LONG_MEMBER);
    }
    while CHARACTERS + 1 < length(&kept) {
        kept.pop();
    }
    (!kept.is_empty()).then(|| kept.join(",").into())
}

/// The key of a member of a `tracestate`, if it is one.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-*/".contains(&it);
    let part =
        |part: &str, longest: usize| (1..=longest).contains(&part.len()) && part.bytes().all(fits);
    let begins = |it: &str, digits: bool| {
        it.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || digits && b.is_ascii_digit())
    };
    let valid = match key.split_once('@') {
        None => begins(key, false) && part(key, 256),
        Some((tenant, system)) => {
            begins(tenant, true) && part(tenant, 241) && begins(system, false) && part(system, 14)
        }
    };
    let printable = |it: u8| matches!(it, b' '..=b'~') && it != b'=';
    let told = (1..=256).contains(&value.len()) && value.bytes().all(printable);
    (valid && told).then_some(key)
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
    fn the_callers_trace_goes_on_with_a_place_of_its_own() {
        let trace = continued(VALID).unwrap();
        assert_eq!(trace.id(), ID);
        assert_ne!(trace.span_id(), "00f067aa0ba902b7");
        assert_eq!(trace.traceparent(), format!("00-{ID}-{}-01", trace.span_id()));
        // What this version gives no meaning to is not passed on.
        let flags = |flags: &str| {
            let trace = continued(&VALID.replace("-01", flags)).unwrap();
            trace.traceparent()[53..].to_owned()
        };
        assert_eq!([flags("-00"), flags("-ff"), flags("-fe")], ["00", "01", "00"]);
        assert_eq!(continued(trace.traceparent()).unwrap().id(), ID);
    }

    #[test]
    fn a_version_of_the_future_is_read_as_far_as_it_is_known() {
        for fine in
            [VALID.replacen("00", "cc", 1), format!("{VALID}-what-comes").replacen("00", "01", 1)]
        {
            let trace = continued(&fine).unwrap();
            assert_eq!((trace.id(), &trace.traceparent()[..3]), (ID, "00-"), "{fine}");
        }
        let glued = format!("{VALID}what").replacen("00", "cc", 1);
        for wrong in [VALID.replacen("00", "ff", 1), glued, format!("{VALID}-more")] {
            assert_eq!(continued(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zero = |digits: usize| "0".repeat(digits);
        for wrong in [
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
            assert_eq!(continued(&wrong), None, "{wrong}");
        }
        // A dash that has moved.
        assert_eq!(continued("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01"), None);
    }

    #[test]
    fn one_that_begins_here_is_valid_and_no_other() {
        let (one, other) = (TraceContext::begin(), TraceContext::begin());
        assert_ne!(one.id(), other.id());
        assert_eq!(continued(one.traceparent()).unwrap().id(), one.id());
        assert!(one.traceparent().ends_with("-01") && one.tracestate().is_none());
    }

    #[test]
    fn what_others_keep_is_passed_on_within_bounds() {
        let of = |states: &[&str]| {
            let trace = TraceContext::continued(VALID, states.iter().copied()).unwrap();
            trace.tracestate().map(str::to_owned)
        };
        assert_eq!(of(&["a=1, b=2\t", ",c@d=3"]).unwrap(), "a=1,b=2,c@d=3");
        assert_eq!(of(&["4@a=1,b*/_-= x "]).unwrap(), "4@a=1,b*/_-= x");
        for wrong in
            ["a", "=1", "A=1", "1=1", "a=", "a=1=2", "a=é", "a=1,a=2", "@b=1", "a@=1", "a@4=1"]
        {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        let members = |count: usize, length: usize| -> String {
            let member = |n| format!("k{n:02}={}", "x".repeat(length - 4));
            (0..count).map(member).collect::<Vec<_>>().join(",")
        };
        assert_eq!(of(&[&members(33, 5)]), None);
        assert_eq!(of(&[&members(32, 15)]).unwrap().len(), 32 * 16 - 1);
        // Whole members, from the end; long ones before all others.
        assert_eq!(of(&[&members(32, 20)]).unwrap(), members(24, 20));
        let long = format!("long={},{}", "y".repeat(200), members(20, 20));
        assert_eq!(of(&[&long]).unwrap(), members(20, 20));
    }

    #[tokio::test]
    async fn work_knows_the_trace_it_is_done_for() {
        assert_eq!(TraceContext::current(), None);
        let trace = TraceContext::begin();
        let found = trace.clone().around(async { TraceContext::current() }).await;
        assert_eq!(found, Some(trace));
    }
}
