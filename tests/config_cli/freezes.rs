//! `brune freeze`.

use crate::proposals::{brune, in_days, protected};

#[tokio::test]
async fn a_freeze_stops_changes_until_its_end() {
    let service = protected().await;
    let set = ["set", "BRUNE_MAX_SESSIONS_PER_DAY", "4", "-r", "fewer"];
    let freeze = |arguments: &[&str]| brune(&service, "ada", &[&["freeze"], arguments].concat());
    let (end, printed_end) = in_days(30);
    let until = ["--until", &end, "-r", "the holidays"];
    freeze(&[&["set"], &until[..]].concat()).ends(0, &format!("until {printed_end}, id "));
    service
        .config(&set)
        .ends(1, &format!("settings are frozen until {printed_end}: the holidays"))
        .ends(1, "brune freeze list");
    let list = freeze(&["list"]).ends(0, "");
    let row = &list.rows()[0];
    assert_eq!((row[3], row[4], row[5]), ("active", "ada", "the holidays"));
    service.config(&[&set[..], &["--emergency"]].concat()).ends(0, "is 4");
    freeze(&["end", row[0], "-r", "back early"]).ends(0, "is over");
    freeze(&["end", row[0], "-r", "back early"]).ends(4, "the freeze is over");
    freeze(&["list"]).ends(0, "ended by ada");
    service.config(&["set", "BRUNE_MAX_SESSIONS_PER_DAY", "5", "-r", "more"]).ends(0, "is 5");
    let (start, printed_start) = in_days(20);
    let planned = ["set", "--from", &start, "-o", "json"];
    let planned = freeze(&[&planned[..], &until].concat()).json();
    assert_eq!(planned["starts_at"], printed_start);
    let all = freeze(&["list", "-o", "json"]).json();
    assert_eq!((&all["active"], all["freezes"].as_array().unwrap().len()), (&().into(), 2));
    freeze(&["list"]).ends(0, "\tplanned\t");
    freeze(&["set", "--until", "tomorrow", "-r", "the holidays"]).ends(2, "with an offset");
    freeze(&["set", "--until", "2001-01-01T00:00:00Z", "-r", "the holidays"])
        .ends(1, "--until must be in the future, after");
    freeze(&["end", "../proposals", "-r", "back early"]).ends(2, "invalid value");
}

#[tokio::test]
async fn the_end_of_a_freeze_names_another_one_in_force() {
    let service = protected().await;
    let freeze = |arguments: &[&str]| brune(&service, "ada", &[&["freeze"], arguments].concat());
    let set = |until: &str, reason: &str| {
        let freeze = freeze(&["set", "--until", until, "-r", reason, "-o", "json"]).json();
        freeze["id"].as_str().unwrap().to_owned()
    };
    let (first_end, printed_first_end) = in_days(10);
    let (second_end, printed_second_end) = in_days(20);
    let first = set(&first_end, "the holidays");
    let second = set(&second_end, "the audit");
    let list = freeze(&["list"]).ends(0, "");
    let states: Vec<_> = list.rows().iter().map(|row| row[3].to_owned()).collect();
    assert_eq!(states, ["active", "active"]);
    let end = |id: &str| freeze(&["end", id, "-r", "all are back"]);
    end(&second).ends(
        0,
        &format!(
            "freeze {second} is over; the settings stay frozen until {printed_first_end} by freeze {first} of ada: \
             the holidays\n"
        ),
    );
    let third = set(&second_end, "the audit");
    end(&first).ends(0, &format!("frozen until {printed_second_end} by freeze {third}"));
    end(&third).ends(0, &format!("freeze {third} is over\n"));
}
