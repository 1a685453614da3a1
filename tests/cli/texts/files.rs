//! Files and documents: the same bytes around their content at every door.

use std::collections::BTreeSet;

use reqwest::Method;

use super::{World, catalog, documented_differences, key};
use crate::support::binary::Home;

const MIB: usize = 1024 * 1024;

/// What is odd about a file: its name, its line ends, what stands before it, a byte behind it, and its length at least.
type FileCase = (&'static str, &'static str, &'static [u8], Option<u8>, usize);

/// A file or a document, as bytes: `{line_end}` behind each line, and something before and after.
fn document(lines: &[&str], line_end: &str, before: &[u8], after: &[u8]) -> Vec<u8> {
    let text: String = lines.iter().flat_map(|line| [line, line_end]).collect();
    [before, text.as_bytes(), after].concat()
}

#[tokio::test]
async fn a_file_is_read_equally_by_every_interface_or_the_difference_is_documented() {
    let world = World::new(&catalog(0)).await;
    let key = key(0, 1000);
    // Behind each document comes what its format takes for nothing, until it is as long as is said.
    let doors: [(&str, &[&str], &[u8]); 7] = [
        ("`.env` document", &[&format!("{key}=30"), "# more"], b"#"),
        ("`.env` file", &["BRUNE_LISTEN=127.0.0.1:0", "LOG_LEVEL=info"], b"#"),
        (
            "JSON",
            &[
                "{\"reason\": \"a test\",",
                &format!("\"changes\": [{{\"key\": \"{key}\", \"value\": 30}}]}}"),
            ],
            b" ",
        ),
        (
            "JSON document",
            &["{\"format_version\": 1,", &format!("\"settings\": {{\"{key}\": 30}}}}")],
            b" ",
        ),
        ("YAML document", &["format_version: 1", "settings:", &format!("  {key}: 30")], b"#"),
        ("secret file", &["a-key-of-the-provider"], b"x"),
        ("catalog", &["catalog = \"texts\"", "description = \"For a test.\""], b"#"),
    ];
    let cases: [FileCase; 7] = [
        ("LF line ends", "\n", b"", None, 0),
        ("CRLF line ends", "\r\n", b"", None, 0),
        ("CR line ends", "\r", b"", None, 0),
        ("byte order mark", "\n", b"\xEF\xBB\xBF", None, 0),
        ("not UTF-8", "\n", b"", Some(0xFF), 0),
        ("64 KiB to 1 MiB", "\n", b"", None, MIB),
        ("over 1 MiB", "\n", b"", None, MIB + 1),
    ];
    let mut results = BTreeSet::new();
    for (case, line_end, before, wrong, length) in cases {
        let mut first = None;
        for (door, lines, padding) in doors {
            let mut bytes = document(lines, line_end, before, wrong.as_slice());
            while bytes.len() < length {
                bytes.push(padding[0]);
            }
            let messages = is_file_taken(&world, door, bytes).await;
            let first = *first.get_or_insert(messages);
            if messages != first {
                let outcome = if messages { "taken" } else { "refused" };
                results.insert((case.to_owned(), door.to_owned(), outcome.to_owned()));
            }
        }
        let is_fine = !["CR line ends", "not UTF-8", "over 1 MiB"].contains(&case);
        assert_eq!(first, Some(is_fine), "{case}");
    }
    assert_eq!(results, documented_differences("### Where a file is read differently"));
}

async fn is_file_taken(world: &World, door: &str, bytes: Vec<u8>) -> bool {
    let send = async |method, path: &str, media: &str| {
        let call = world.service.call(method, path).header("content-type", media);
        // One that is too long may be answered before it is read.
        let reply = call.body(bytes.clone()).send().await;
        reply.is_ok_and(|reply| reply.status().is_success())
    };
    let import = "/admin/config/import?dry_run=true";
    let home = Home::new().with("DATABASE_URL", "postgres://ada@127.0.0.1:1/brune");
    let starts = |home: Home, name: &str| {
        // Behind what the environment says comes the database, which is not there.
        let outcome = home.run(&["doctor"]);
        let names = outcome.err.contains(name);
        assert!(names || outcome.err.contains("cannot connect"), "{door}: {}", outcome.err);
        !names
    };
    match door {
        "`.env` document" => send(Method::POST, import, "text/plain").await,
        "JSON document" => send(Method::POST, import, "application/json").await,
        "YAML document" => send(Method::POST, import, "application/yaml").await,
        "JSON" => {
            let path = "/admin/global-settings?dry_run=true";
            let call = world.service.call(Method::PATCH, path).header("if-match", "\"r1\"");
            let call = call.header("content-type", "application/json").body(bytes);
            call.send().await.is_ok_and(|reply| reply.status().is_success())
        }
        "`.env` file" => {
            home.write_bytes(".env", &bytes);
            starts(home, ".env")
        }
        "secret file" => {
            let path = home.write_bytes("key", &bytes).display().to_string();
            starts(home.with("OPENAI_API_KEY_FILE", &path), "OPENAI_API_KEY_FILE")
        }
        "catalog" => {
            let path = home.write_bytes("catalog.toml", &bytes).display().to_string();
            starts(home.with("BRUNE_CATALOG", &path), "catalog.toml")
        }
        door => panic!("no such door: {door}"),
    }
}
