//! Scripts and filters by the API: saved, looked at, tried.
//!
//! Invariant: what is refused says where; what is tried changes nothing.

use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk};

fn subscription(members: &Value) -> Value {
    let mut all = json!({"url": "https://example.com/hook", "event_type": "people.created"});
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

async fn saved(desk: &Desk, members: Value) -> Answer {
    let saved = desk.post("/subscriptions/", subscription(&members)).await;
    assert!(saved.status.is_success(), "{saved:?}");
    saved
}

#[tokio::test]
async fn a_script_that_cannot_be_compiled_is_refused_with_its_place_and_line() {
    let desk = Desk::open().await;
    let script = "let a = 1;\nlet b = [a;\nb";
    let refused = desk.post("/subscriptions/", subscription(&json!({"script": script}))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    let error = &refused.body["errors"][0];
    assert_eq!(error["field"], "script");
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(11)), "{error}");
    assert_eq!(error["text"], "let b = [a;");
    assert_eq!(desk.get("/subscriptions/").await.body["data"], json!([]));

    let habit = subscription(&json!({"script": "let a = null;\na"}));
    let refused = desk.post("/subscriptions/", habit).await;
    assert!(refused.text("/errors/0/hint").contains("nothing is written ()"), "{refused:?}");
    let unknown = subscription(&json!({"script": "@nowhere"}));
    let refused = desk.post("/subscriptions/", unknown).await;
    assert!(refused.text("/detail").contains("there is no script @nowhere"), "{refused:?}");
}

#[tokio::test]
async fn each_text_is_a_version_that_stays_readable() {
    let desk = Desk::open().await;
    let made = saved(&desk, json!({"script": "event.data"})).await;
    let first = made.text("/script_version").to_owned();
    let place = format!("/subscriptions/{}", made.text("/id"));
    let changed = desk.patch(&place, json!({"script": "event.data.name"})).await;
    assert_eq!((changed.status, changed.text("/script")), (StatusCode::OK, "event.data.name"));
    assert_ne!(changed.text("/script_version"), first);
    let again = desk.patch(&place, json!({"script": "event.data"})).await;
    assert_eq!(again.text("/script_version"), first, "the same text is the same version");
    let text = desk.get(&format!("/scripts/{first}")).await;
    assert_eq!(text.body, json!({"version": first, "source": "event.data"}));
    let without = desk.patch(&place, json!({"script": null})).await;
    assert_eq!(without.body.get("script"), None);
    assert_eq!(desk.get("/scripts/0123456789abcdef").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_library_is_listed_and_can_be_named() {
    let desk = Desk::open().await;
    let listed = desk.get("/scripts").await;
    let slack = listed.body["data"].as_array().unwrap().iter().find(|one| one["name"] == "slack");
    let slack = slack.unwrap();
    assert_eq!(slack["about"], "Slack: a message in a channel");
    assert_eq!(slack["built_in"], true);
    let one = desk.get("/scripts/@slack").await;
    assert!(one.text("/source").contains("mrkdwn") && one.body["version"] == slack["version"]);
    let made = saved(&desk, json!({"script": "@slack"})).await;
    assert_eq!(made.text("/script"), "@slack");
    let version = slack["version"].as_str().unwrap();
    let kept = desk.get(&format!("/scripts/{version}")).await;
    assert_eq!(kept.status, StatusCode::OK, "what a subscription uses is kept: {kept:?}");
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_with_its_path() {
    let desk = Desk::open().await;
    let filter = json!({"data.age": {"gte": true}, "any": [{"data.name": {"like": "A"}}]});
    let refused = desk.post("/subscriptions/", subscription(&json!({"filter": filter}))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    let field = refused.text("/errors/0/field");
    assert!(field.starts_with("filter"), "{refused:?}");
    let filter = json!({"data.role": "admin", "data.age": {"gte": 18}});
    let made = saved(&desk, json!({"filter": filter.clone()})).await;
    assert_eq!(made.body["filter"], filter);
}

#[tokio::test]
async fn a_dry_run_tells_everything_and_sends_nothing() {
    let desk = Desk::open().await;
    let event = json!({"id": "evt_1", "type": "people.created", "data": {"name": "Ada"}});
    let script = "print(`for ${subscription.metadata.team}`);\n\
                  send(#{ hi: event.data.name }, #{ headers: #{ \"X-Team\": \"a\" } })";
    let subscription = json!({"metadata": {"team": "blue"}});
    let body = json!({"script": script, "event": event, "subscription": subscription});
    let ran = desk.post("/scripts/run", body).await;
    assert_eq!(ran.status, StatusCode::OK, "{ran:?}");
    assert_eq!(ran.text("/outcome"), "sent");
    assert_eq!(
        ran.body["output"],
        json!({"content_type": "application/json", "headers": {"x-team": "a"}, "body": {"hi": "Ada"}})
    );
    assert_eq!(ran.body["log"], json!(["for blue"]));
    assert!(ran.body["operations"].as_u64().unwrap() > 0 && ran.body["duration_us"].is_u64());

    let dropped = json!({"script": "drop(\"no\")", "event": event});
    let ran = desk.post("/scripts/run", dropped).await;
    assert_eq!((ran.text("/outcome"), ran.text("/reason")), ("filtered", "no"));
    let failing = json!({"script": "1;\nevent.data.name.no()", "event": event});
    let ran = desk.post("/scripts/run", failing).await;
    assert_eq!((ran.text("/outcome"), &ran.body["error"]["line"]), ("failed", &json!(2)));
    assert_eq!(ran.text("/error/text"), "event.data.name.no()");
    let endless = "let s = \"x\"; while s.len < 300000 { s += s; } loop { sha256(s); }";
    let ran = desk.post("/scripts/run", json!({"script": endless, "event": event})).await;
    assert_eq!(ran.text("/error/message"), "ran for more than 100 ms");
    let neither = desk.post("/scripts/run", json!({"script": "1"})).await;
    assert!(neither.text("/detail").contains("event or event_id must be given"), "{neither:?}");
}

#[tokio::test]
async fn a_dry_run_on_an_event_of_the_past_sees_what_a_delivery_would() {
    let desk = Desk::open().await;
    let id = desk.happened(7, "people.created", "people/7").await.to_string();
    let body = json!({"script": "[event.id, event.subject, event.data.id]", "event_id": id});
    let ran = desk.post("/scripts/run", body).await;
    assert_eq!(ran.body["output"]["body"], json!([id, "people/7", 42]), "{ran:?}");
    let gone = json!({"script": "1", "event_id": "evt_01kar0rze0e008000000000009"});
    let ran = desk.post("/scripts/run", gone).await;
    assert_eq!(ran.text("/errors/0/field"), "event_id");
}

#[tokio::test]
async fn a_backtest_tells_the_same_from_what_changed_is_filtered_or_fails() {
    let desk = Desk::open().await;
    let made = saved(&desk, json!({"event_type": "people.*", "script": "#{ id: event.subject }"}));
    let made = made.await;
    for id in 1..=8 {
        desk.happened(id, "people.created", &format!("people/{id}")).await;
    }
    desk.happened(9, "orders.created", "orders/1").await;
    let script = "let id = event.subject;\n\
                  if id == \"people/1\" { drop(\"first\") }\n\
                  if id == \"people/2\" { throw \"second\" }\n\
                  if id == \"people/3\" { send(#{ id: id, more: true }) }\n\
                  #{ id: id }";
    let body = json!({"script": script, "subscription_id": made.text("/id")});
    let tested = desk.post("/scripts/backtest", body.clone()).await;
    assert_eq!(tested.status, StatusCode::OK, "{tested:?}");
    let counts = ["events", "same", "changed", "filtered", "failed"];
    let counts = counts.map(|name| tested.body[name].as_u64().unwrap());
    assert_eq!(counts, [8, 5, 1, 1, 1], "{tested:?}");
    assert_eq!(tested.body["newly_filtered"], 1);
    assert_eq!(tested.body["complete"], true);
    let examples = tested.body["examples"].as_array().unwrap();
    let example =
        |outcome: &str| examples.iter().find(|example| example["outcome"] == outcome).unwrap();
    assert_eq!(
        example("changed")["diff"],
        json!([{"op": "add", "path": "/body/more", "value": true}])
    );
    assert_eq!(example("filtered")["reason"], "first");
    assert_eq!(example("failed")["error"], "line 3, column 23: second");
    assert_eq!(desk.get("/deliveries").await.body["data"], json!([]), "nothing is delivered");

    let few = json!({"script": "event.data", "event_type": "people.*", "limit": 3});
    let tested = desk.post("/scripts/backtest", few).await;
    assert_eq!((&tested.body["events"], &tested.body["complete"]), (&json!(3), &json!(true)));
    let filter =
        json!({"filter": {"subject": {"gt": "people/6"}}, "subscription_id": made.text("/id")});
    let tested = desk.post("/scripts/backtest", filter).await;
    assert_eq!((&tested.body["same"], &tested.body["filtered"]), (&json!(2), &json!(6)));
    let broken = json!({"script": "(", "event_type": "*"});
    let refused = desk.post("/scripts/backtest", broken).await;
    assert_eq!(refused.text("/errors/0/field"), "script");
}

#[tokio::test]
async fn who_may_not_see_events_does_not_see_them_by_a_script() {
    let desk = Desk::open_with_token(Some("a token for everything")).await;
    let ask = async |path: &str, token: &str, body: Value| {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        desk.send(request.body(body.to_string().into()).unwrap()).await
    };
    let everything = "a token for everything";
    let scoped = async |scope: &str| {
        let made = ask("/tokens", everything, json!({"name": scope, "scopes": [scope]})).await;
        made.text("/token").to_owned()
    };
    let (writer, reader) = (scoped("subscriptions:write").await, scoped("events:read").await);
    let id = desk.happened(7, "people.created", "people/7").await.to_string();
    let on_event = json!({"script": "event.data", "event_id": id});
    let refused = ask("/scripts/run", &writer, on_event.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let given = json!({"script": "event.data", "event": {"data": 1}});
    assert_eq!(ask("/scripts/run", &writer, given).await.status, StatusCode::OK);
    assert_eq!(ask("/scripts/run", everything, on_event).await.status, StatusCode::OK);
    let hook = subscription(&json!({}));
    let made = ask("/subscriptions/", everything, hook).await;
    let of_one = json!({"script": "1", "subscription_id": made.text("/id")});
    let refused = ask("/scripts/backtest", &reader, of_one).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let of_all = json!({"script": "1", "event_type": "*"});
    assert_eq!(ask("/scripts/backtest", &reader, of_all).await.status, StatusCode::OK);
}
