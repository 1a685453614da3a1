//! Receivers that fail, each in its way.

use std::time::Duration;

use brune::config::Delivery;
use serde_json::{Value, json};

use super::{alerting, change, messages, outbox};
use crate::support::{
    Instance, TestApp, admin, psql,
    receiver::{QUICK, Receiver, status},
    wait::wait_until,
};

/// A worker that only a commit of its own instance wakes.
const ASLEEP: Delivery = Delivery { interval: Duration::from_hours(1), ..QUICK };

/// The revisions in `told`.
fn revisions(told: &[Value]) -> Vec<i64> {
    told.iter().map(|message| message["data"]["revision"].as_i64().unwrap()).collect()
}

/// Waits until nothing is left to deliver.
async fn settled(instance: &Instance) {
    let settled = async || messages(instance, "?status=waiting").await.is_empty();
    wait_until("nothing waits", settled).await;
}

/// Has `message` tried again, at `query`.
async fn retry(instance: &Instance, message: &Value, query: &str) -> Value {
    let path = format!("/admin/outbox/{}/retry{query}", message["id"].as_str().unwrap());
    instance.post(&path).bearer(&admin("root")).send().await.ok()
}

#[tokio::test]
async fn a_commit_wakes_the_local_worker_and_other_workers_poll() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    instance.start_delivery(ASLEEP);
    change(&instance, 1..2).await;
    receiver.takes(1).await;
    let mut other = alerting(&app, &receiver.as_webhook()).await;
    let quiet = alerting(&app, &receiver.as_webhook()).await;
    other.start_delivery(QUICK);
    change(&quiet, 2..3).await;
    receiver.takes(2).await;
}

#[tokio::test]
async fn a_failed_message_blocks_later_ones_and_keeps_its_id() {
    let app = TestApp::new().await;
    let mut remaining = 2;
    let failing = move |body: &str| {
        let fails = body.contains("\"revision\":3") && 0 < remaining;
        remaining -= i32::from(fails);
        status(if fails { 503 } else { 200 })
    };
    let receiver = Receiver::answering(failing).await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    change(&instance, 1..6).await;
    instance.start_delivery(QUICK);
    assert_eq!(revisions(&receiver.takes(5).await), [2, 3, 4, 5, 6]);
    let all = receiver.received();
    let arrivals: Vec<_> =
        all.iter().map(|request| request.json()["data"]["revision"].clone()).collect();
    assert_eq!(arrivals, [2, 3, 3, 3, 4, 5, 6]);
    let ids: Vec<_> = all[1..4].iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids, [ids[0]; 3]);
    settled(&instance).await;
    let attempts: Vec<_> =
        messages(&instance, "").await.iter().map(|message| message["attempts"].clone()).collect();
    assert_eq!(attempts, [1, 1, 1, 3, 1]);
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_counts_as_no_attempt() {
    let app = TestApp::new().await;
    let mut remaining = 5;
    let limited = move |_: &str| {
        remaining -= 1;
        let body =
            json!({"message": "You are being rate limited.", "retry_after": 0.25, "global": false});
        if 0 <= remaining {
            (429, json!({"retry-after": "1"}), body.to_string())
        } else {
            status(204)
        }
    };
    let receiver = Receiver::answering(limited).await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    change(&instance, 1..4).await;
    instance.start_delivery(QUICK);
    let titles: Vec<_> = receiver
        .takes(3)
        .await
        .iter()
        .map(|message| message["embeds"][0]["title"].clone())
        .collect();
    let expected = [2, 3, 4].map(|revision| format!("1 setting changed: revision {revision}"));
    assert_eq!(titles, expected);
    let arrivals = receiver.received();
    for pair in arrivals[..6].windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(Duration::from_millis(250) <= pause, "{pause:?}");
    }
    settled(&instance).await;
    assert!(messages(&instance, "").await.iter().all(|message| message["attempts"] == 1));
}

#[tokio::test]
async fn a_dead_letter_unblocks_later_messages_and_can_be_retried() {
    let app = TestApp::new().await;
    let receiver =
        Receiver::answering(|body| status(if body.contains("\"revision\":3") { 500 } else { 200 }))
            .await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    change(&instance, 1..4).await;
    instance.start_delivery(QUICK);
    assert_eq!(revisions(&receiver.takes(2).await), [2, 4]);
    settled(&instance).await;
    let dead = messages(&instance, "?status=dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["attempts"], &dead[0]["last_error"]), (&json!(4), &json!("status 500")));
    assert_eq!(outbox(&instance, "").await["sinks"][0]["dead"], 1);
    let text = instance.get("/metrics").send().await.text;
    for series in [
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="delivered"} 2"#,
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="retried"} 3"#,
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="dead"} 1"#,
    ] {
        assert!(text.contains(series), "{series} is not in {text}");
    }
    receiver.answer(|_| status(200));
    assert_eq!(retry(&instance, &dead[0], "").await["sinks"], json!(["webhook"]));
    assert_eq!(revisions(&receiver.takes(3).await), [2, 4, 3]);
    settled(&instance).await;
    assert_eq!(messages(&instance, "?status=delivered").await.len(), 3);
    let ids = receiver.received();
    let ids: Vec<_> =
        ids.iter().filter(|request| request.text.contains("\"revision\":3")).collect();
    assert!(
        ids.iter().all(|request| request.header("webhook-id") == dead[0]["id"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_message_that_discord_rejects_is_dead_at_once() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(400)).await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    change(&instance, 1..3).await;
    instance.start_delivery(QUICK);
    settled(&instance).await;
    assert_eq!(
        (receiver.received().len(), messages(&instance, "?status=dead").await.len()),
        (2, 2)
    );
}

#[tokio::test]
async fn a_deleted_discord_webhook_is_disabled_until_it_is_replaced() {
    let app = TestApp::new().await;
    let gone = Receiver::answering(|_| status(404)).await;
    let mut actual_instance = alerting(&app, &gone.as_discord()).await;
    actual_instance.start_delivery(QUICK);
    change(&actual_instance, 1..2).await;
    let ready = async |instance: &Instance| {
        let reply = instance.get("/readyz?verbose").send().await;
        (reply.status.as_u16(), reply.text)
    };
    let is_reported =
        async || ready(&actual_instance).await.1.contains("[-]sink discord is disabled");
    wait_until("it is known to be gone", is_reported).await;
    assert_eq!(ready(&actual_instance).await.0, 200);
    // Each commit wakes the worker, and so does each instance that is started.
    change(&actual_instance, 2..5).await;
    let mut repeat = alerting(&app, &gone.as_discord()).await;
    repeat.start_delivery(QUICK);
    let is_reported = async || ready(&repeat).await.1.contains("[-]sink discord is disabled");
    wait_until("the other one knows too", is_reported).await;
    assert_eq!(gone.received().len(), 1);
    let state = outbox(&actual_instance, "").await["sinks"][0].clone();
    assert_eq!((&state["sink"], &state["waiting"]), (&json!("discord"), &json!(4)));
    assert!(state["dead_since"].is_string(), "{state}");
    assert_eq!(state["dead_reason"], "status 404: the webhook does not exist");
    let other = Receiver::new().await;
    let mut actual_instance = alerting(&app, &other.as_discord()).await;
    actual_instance.start_delivery(QUICK);
    assert_eq!(other.takes(4).await.len(), 4);
    settled(&actual_instance).await;
    assert_eq!(outbox(&actual_instance, "").await["sinks"][0]["dead_since"], Value::Null);
    assert!(ready(&actual_instance).await.1.contains("[+]sink discord ok"));
    assert_eq!(gone.received().len(), 1);
}

#[tokio::test]
async fn a_webhook_that_answers_410_is_disabled_until_it_is_retried() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(410)).await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    instance.start_delivery(QUICK);
    change(&instance, 1..3).await;
    let gone = async || outbox(&instance, "").await["sinks"][0]["dead_since"].is_string();
    wait_until("it is known to be gone", gone).await;
    receiver.answer(|_| status(200));
    let waiting = messages(&instance, "?status=waiting").await;
    retry(&instance, &waiting[0], "?sink=webhook").await;
    assert_eq!(revisions(&receiver.takes(2).await), [2, 3]);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let app = TestApp::new().await;
    let elsewhere = Receiver::new().await;
    let to = elsewhere.address();
    let receiver =
        Receiver::answering(move |_| (307, json!({"location": to.clone()}), String::new())).await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    change(&instance, 1..2).await;
    instance.start_delivery(QUICK);
    settled(&instance).await;
    assert_eq!(messages(&instance, "").await[0]["last_error"], "status 307");
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (4, 0));
}

#[tokio::test]
async fn a_private_address_is_refused_at_start_or_at_the_call() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    for alerts in [receiver.as_discord(), receiver.as_webhook()] {
        let mut alerts = brune::config::Alerts { allow_private: false, ..alerts };
        let unfit = brune::outbox::sinks(&alerts).unwrap_err().to_string();
        assert!(unfit.contains("_URL: ") && unfit.contains("ALERT_ALLOW_PRIVATE"), "{unfit}");
        assert!(!unfit.contains("127.0.0.1"), "{unfit}");
        for address in [&mut alerts.discord, &mut alerts.webhook] {
            let host_name =
                address.take().map(|secret| secret.expose().replace("127.0.0.1", "localhost"));
            *address = host_name.map(brune::config::Secret::new);
        }
        let mut instance = alerting(&app, &alerts).await;
        instance.change(&[("JWT_SECRET", json!("x"), 1)]).await.problem(403, "key_locked");
        instance.start_delivery(QUICK);
        settled(&instance).await;
        let dead = &messages(&instance, "").await[0];
        assert_eq!(dead["status"], "dead");
        let why = "the address is one of this machine or of a private network";
        assert_eq!(dead["last_error"], why);
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_mark_a_message() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    receiver.open(false);
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    instance.start_delivery(Delivery { lease: Duration::from_mins(1), ..QUICK });
    change(&instance, 1..3).await;
    let came = async || receiver.received().len() == 1;
    wait_until("the first one is under way", came).await;
    // As if the lease had run out meanwhile, and another worker had taken the sink.
    let query = "update brune_outbox_sink set lease = gen_random_uuid(), leased_until = now() + interval '1 hour'";
    psql::run(&app.db.pool(), query).await;
    receiver.open(true);
    wait_until("the answer came", async || receiver.taken().len() == 1).await;
    let actual_query = "update brune_outbox_sink set lease = null, leased_until = null";
    assert_eq!(messages(&instance, "?status=waiting").await.len(), 2);
    psql::run(&app.db.pool(), actual_query).await;
    assert_eq!(revisions(&receiver.takes(3).await), [2, 2, 3]);
    let ids = receiver.received();
    assert_eq!(ids[0].header("webhook-id"), ids[1].header("webhook-id"));
}

#[tokio::test]
async fn the_address_of_a_sink_is_never_logged() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(500)).await;
    let mut alerts = receiver.as_webhook();
    alerts.discord = receiver.as_discord().discord;
    let mut instance = alerting(&app, &alerts).await;
    change(&instance, 1..2).await;
    drop(receiver);
    instance.start_delivery(QUICK);
    settled(&instance).await;
    // The canary looks through these answers, and through everything that is logged.
    for path in
        ["/admin/outbox", "/metrics", "/readyz?verbose", "/admin/secrets", "/admin/environment"]
    {
        instance.get(path).bearer(&admin("root")).send().await;
    }
    let text = format!("{:?} {alerts:?}", instance.worker(QUICK));
    crate::support::canary::watch("debug output", &text);
}
