//! What tests use as secrets is looked for in everything the service says while they run: an answer or a line
//! of the log that holds one fails the test, whatever it was about.

use std::{
    io,
    sync::{Mutex, Once, PoisonError},
};

use tracing::level_filters::LevelFilter;

use super::{
    credentials::{INTERNAL_KEY, PROVIDER_KEY, SECRET},
    receiver,
};

/// The first line that gave one away, to be told by whoever asks next.
static CAUGHT: Mutex<Option<String>> = Mutex::new(None);

/// Fails if `text` gives a secret away, or a line of the log has done so.
#[track_caller]
pub(crate) fn watch(what: &str, text: &str) {
    assert!(!gives_away(text), "{what} holds a secret: {text}");
    let caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(caught.is_none(), "the log holds a secret: {caught:?}");
}

fn gives_away(text: &str) -> bool {
    [SECRET, INTERNAL_KEY, PROVIDER_KEY, receiver::TOKEN, receiver::SIGNING]
        .iter()
        .any(|canary| text.contains(canary))
}

/// Listens to all that is logged in this process, of every library and at every level.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
        // Another test harness may have a log of its own.
        let _ = lines.with_writer(|| Lines).try_init();
    });
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if gives_away(&text) {
            let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
            caught.get_or_insert_with(|| text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
