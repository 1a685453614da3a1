//! The fleet as processes are: several of them over one database, and how they end.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    TestApp,
    binary::{Home, Service},
    psql,
    wait::wait_until,
};

async fn fleet(service: &Service) -> Vec<Value> {
    service.get("/admin/instances").await["instances"].as_array().unwrap().clone()
}

/// The id that `service` goes by.
async fn own(service: &Service) -> Value {
    let fleet = fleet(service).await;
    fleet.iter().find(|instance| instance["self"] == true).unwrap()["id"].clone()
}

#[tokio::test]
async fn a_stopped_instance_deletes_its_row_and_a_killed_one_expires() {
    let app = TestApp::new().await;
    let homes = [Home::on(&app.db), Home::on(&app.db), Home::on(&app.db)];
    let [stays, stopped, killed] = homes.each_ref().map(Home::serve);
    assert_eq!(fleet(&stays).await.len(), 3);
    let version = env!("CARGO_PKG_VERSION");
    for it in fleet(&stays).await {
        assert_eq!((&it["live"], &it["version"]), (&json!(true), &json!(version)));
        assert_eq!(it["host"], rustix::system::uname().nodename().to_str().unwrap());
    }
    let [gone, dead] = [own(&stopped).await, own(&killed).await];

    stopped.stop().await;
    assert!(
        fleet(&stays).await.iter().all(|instance| instance["id"] != gone),
        "a row of who was stopped"
    );

    killed.signal(Signal::KILL);
    killed.ended().await;
    let of_it = async || fleet(&stays).await.into_iter().find(|instance| instance["id"] == dead);
    assert!(of_it().await.is_some(), "it had no time to say so");
    wait_until("it is not live", async || of_it().await.unwrap()["live"] == false).await;
    let reply = stays.change("BRUNE_COOLDOWN_MINUTES", &json!(45), 1);
    let reply = reply.query(&[("wait", "applied"), ("timeout_ms", "4000")]).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.json::<Value>().await.unwrap()["applied"]["instances"], 1);
    // A minute of silence, without waiting for it.
    psql::run(
        &app.db.pool(),
        "update brune_instance set seen_at = seen_at - interval '1 minute' where not exists (
           select from brune_instance newer where newer.seen_at < brune_instance.seen_at)",
    )
    .await;
    wait_until("it is forgotten", async || of_it().await.is_none()).await;
    assert_eq!(fleet(&stays).await.len(), 1);
    stays.stop().await;
    let rows = "select count(*) from brune_instance";
    let rows: i64 = sqlx::query_scalar(rows).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_suspended_instance_is_a_laggard_until_it_continues() {
    let app = TestApp::new().await;
    let homes = [Home::on(&app.db), Home::on(&app.db)];
    let [writer, frozen] = homes.each_ref().map(Home::serve);
    let id = own(&frozen).await;
    // The longest timeout where everybody is expected to apply the change: a busy machine takes its time.
    let change = async |to: i64, version: i64, timeout_ms: &str| {
        let change = writer.change("BRUNE_COOLDOWN_MINUTES", &json!(to), version);
        let change = change.query(&[("wait", "applied"), ("timeout_ms", timeout_ms)]);
        let reply = change.send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let (status, both) = change(40, 1, "4000").await;
    assert_eq!((status, &both["applied"]["instances"]), (200, &json!(2)), "{both}");

    frozen.signal(Signal::STOP);
    let (status, lost) = change(41, 2, "1000").await;
    assert_eq!((status, &lost["revision"]), (202, &json!(3)), "{lost}");
    assert_eq!(lost["applied"]["laggards"][0]["id"], id);
    frozen.signal(Signal::CONT);
    let is_repeated = async || change(41, 3, "4000").await.0 == 200;
    wait_until("it takes part again", is_repeated).await;
    frozen.stop().await;
    writer.stop().await;
}
