//! Values: the same text at every door that a setting's value comes in through.

use std::collections::BTreeSet;

use serde_json::json;

use super::{DOORS, Outcome, World, catalog, documented_differences, first_values, key, typed};

/// A text and what is odd about it.
struct Case {
    class: &'static str,
    text: String,
}

fn cases() -> Vec<Case> {
    let plain = [
        "3",
        "a b",
        "ação",
        "漢字",
        "👩\u{200D}🚀",
        "שלום",
        "e\u{301}",
        "a#b",
        "a # b",
        "$HOME",
        "${HOME}",
        "`x`",
        "\\n",
        "a\\b",
        "it's",
        "say \"hi\"",
        "a=b",
        "https://a.test/?q=1&b=2",
        "[]",
        "{}",
        "null",
        "true",
        "30",
        "0x10",
        "1e3",
        "~",
        "no",
        "yes",
        "- a",
        "a: b",
        "*a",
        "&a",
        "!a",
        "%41",
        "a,b",
    ];
    let outer = [" 3", "3 ", "\u{A0}3", "3\u{3000}"];
    let blank = ["", " ", "\u{A0}", "\u{3000}\u{2003}"];
    let invisible = ["\u{200B}", "\u{3164}", "\u{2800}", "\u{FE0F}", "\u{E0041}\u{E0042}"];
    let ends = ["3\r", "3\n", "3\r\n", "a\nb", "a\rb", "\r", "\n"];
    let controls =
        ["\t3", "a\tb", "a\u{1B}[31mb", "\u{7F}", "\u{85}", "a\u{9B}b", "\u{7}", "\u{1}"];
    let deceiving = ["a\u{202E}b", "\u{2066}a", "a\u{200F}", "\u{61C}", "a\u{2028}b", "a\u{2029}b"];
    let none = ["\u{FEFF}3", "a\u{FEFF}b", "\u{FDD0}", "\u{FFFE}", "\u{10FFFF}"];
    let quotes = ["\"3\"", "'3'", "\"\"", " '3' "];
    let lists: [(&str, &[&str]); 9] = [
        ("plain", &plain),
        ("outer blanks", &outer),
        ("blank", &blank),
        ("invisible", &invisible),
        ("line ends", &ends),
        ("controls", &controls),
        ("deceiving", &deceiving),
        ("no character", &none),
        ("in quotes", &quotes),
    ];
    let of_list = |&(class, texts): &(&'static str, &[&str])| {
        let case = |text: &&str| Case { class, text: (*text).to_owned() };
        texts.iter().map(case).collect::<Vec<_>>()
    };
    let mut cases: Vec<_> = lists.iter().flat_map(of_list).collect();
    cases.push(Case { class: "NUL", text: "a\0b".to_owned() });
    cases.push(Case { class: "begins with `-`", text: "-5".to_owned() });
    cases.push(Case { class: "long", text: "x".repeat(65_536) });
    cases.push(Case { class: "too long", text: "x".repeat(65_537) });
    cases
}

#[tokio::test]
async fn a_text_is_treated_equally_by_every_interface_or_the_difference_is_documented() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let catalog = catalog(cases.len());
    let world = World::new(&catalog).await;
    let mut outcomes: Vec<Vec<Outcome>> = Vec::new();
    for (at, door) in DOORS.iter().enumerate().take(5) {
        let mut of_door = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            of_door.push(world.send(door, &key(at, number), &case.text).await);
        }
        outcomes.push(of_door);
    }
    for (at, in_file) in [(5, false), (6, true)] {
        let texts: Vec<_> =
            cases.iter().enumerate().map(|(number, it)| (key(at, number), &*it.text)).collect();
        outcomes.push(first_values(&catalog, in_file, &texts).await);
    }
    let mut results = BTreeSet::new();
    for (door, of_door) in DOORS.iter().zip(&outcomes) {
        for ((case, first), outcome) in cases.iter().zip(&outcomes[0]).zip(of_door) {
            if let Outcome::Taken(value) = outcome {
                assert_eq!(*value, json!(case.text), "{door} changes {:?}", case.text);
            }
            if outcome != first {
                results.insert((
                    case.class.to_owned(),
                    (*door).to_owned(),
                    outcome.words().to_owned(),
                ));
            }
        }
    }
    // What every door must refuse, and what none may.
    for (case, outcome) in cases.iter().zip(&outcomes[0]) {
        let is_fine =
            ["plain", "outer blanks", "blank", "invisible", "in quotes", "long", "begins with `-`"];
        let fine = is_fine.contains(&case.class);
        assert_eq!(matches!(outcome, Outcome::Taken(_)), fine, "{:?}: {outcome:?}", case.text);
    }
    assert_eq!(results, documented_differences("### Where a text is read differently"));
}

#[tokio::test]
async fn numbers_booleans_and_lists_are_read_equally_by_text_interfaces() {
    let catalog = catalog(0);
    let world = World::new(&catalog).await;
    let mut outcomes = Vec::new();
    for at in [3, 4] {
        let mut of_door = Vec::new();
        for (number, (_, text)) in typed().iter().enumerate() {
            of_door.push(world.send(DOORS[at], &key(at, 1000 + number), text).await);
        }
        outcomes.push(of_door);
    }
    let typed = typed();
    for (at, in_file) in [(5, false), (6, true)] {
        let texts: Vec<_> = typed
            .iter()
            .enumerate()
            .map(|(number, (_, text))| (key(at, 1000 + number), *text))
            .collect();
        outcomes.push(first_values(&catalog, in_file, &texts).await);
    }
    for (number, (kind, text)) in typed.iter().enumerate() {
        let all: Vec<_> = outcomes.iter().map(|outcome| &outcome[number]).collect();
        if text.is_empty() {
            // The difference of blank texts, which the table tells.
            assert_eq!(all[0], all[1], "{kind} {text:?}");
            assert_eq!((all[2], all[3]), (&Outcome::NoValue, &Outcome::NoValue));
        } else {
            assert!(all.iter().all(|outcome| outcome == &all[0]), "{kind} {text:?}: {all:?}");
        }
    }
}
