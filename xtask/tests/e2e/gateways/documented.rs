//! `docs/gateways.md`: what is written there for other products is what the filter and Envoy take.
//!
//! Invariant: every snippet is read, and each plugin configuration runs in the real Envoy as the
//! product in question hands it over.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sidehook_filter::config::Config;
use xtask::{stack::Plan, workspace};

use super::{Example, before_people};
use crate::support::{ada, name_of, shared};

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// Every resource in the document.
fn resources() -> Result<Vec<Value>> {
    let text = fs::read_to_string(workspace::root().join("docs/gateways.md"))?;
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("\n```").next());
    let mut resources = Vec::new();
    for block in blocks {
        for resource in block.unwrap_or_default().split("\n---\n") {
            let resource = serde_saphyr::from_str(resource);
            resources.push(resource.with_context(|| format!("in {block:?}"))?);
        }
    }
    Ok(resources)
}

fn of_kind(kind: &str) -> Result<Value> {
    let found = resources()?.into_iter().find(|resource| resource["kind"] == kind);
    found.with_context(|| format!("there is no {kind}"))
}

fn part(resource: &Value, pointer: &str) -> Result<Value> {
    resource.pointer(pointer).cloned().with_context(|| format!("no {pointer} in {resource:#}"))
}

/// What each of the three tells the filter.
fn plugin_configurations() -> Result<[Value; 3]> {
    let patched = "/spec/configPatches/0/patch/value/typed_config/config/configuration/value";
    Ok([
        part(&of_kind("WasmPlugin")?, "/spec/pluginConfig")?,
        part(&of_kind("EnvoyFilter")?, patched)?,
        part(&of_kind("EnvoyExtensionPolicy")?, "/spec/wasm/0/config")?,
    ])
}

#[test]
fn every_snippet_is_a_resource() -> Result<()> {
    let resources = resources()?;
    ensure!(resources.len() >= 7, "only {} of them", resources.len());
    for resource in resources {
        for field in ["apiVersion", "kind", "spec"] {
            ensure!(!resource[field].is_null(), "no {field} in {resource:#}");
        }
    }
    Ok(())
}

#[test]
fn the_filter_understands_what_each_tells_it() -> Result<()> {
    for written in plugin_configurations()? {
        let text = serde_json::to_vec(&written)?;
        Config::parse(&text).with_context(|| format!("{written:#}"))?;
    }
    Ok(())
}

#[test]
fn what_cannot_show_bodies_of_held_answers_does_not_ask_for_them() -> Result<()> {
    for resource in ["WasmPlugin", "EnvoyExtensionPolicy"] {
        let resource = of_kind(resource)?;
        let config = resource.pointer("/spec/pluginConfig");
        let config = config.or_else(|| resource.pointer("/spec/wasm/0/config"));
        let config = Config::parse(&serde_json::to_vec(config.context("no configuration")?)?)?;
        for route in config.routes {
            ensure!(!(route.capture.holds() && route.response_body), "{route:?}");
        }
    }
    Ok(())
}

/// The reference with this filter in place of its own, and with more said of connections.
fn with_filter(example: Example, plan: &Plan, filter: Value, more: &Value) -> Result<Example> {
    let Example(text) = example.with_sidecar(plan)?;
    let mut whole: Value = serde_saphyr::from_str(&text)?;
    let manager = whole.pointer_mut(MANAGER).context("no connection manager")?;
    *manager.pointer_mut("/http_filters/0").context("no filter")? = filter;
    for (name, value) in more.as_object().into_iter().flatten() {
        manager[name] = value.clone();
    }
    Ok(Example(serde_json::to_string_pretty(&whole)?))
}

/// The document's own servers, where this stack has them.
fn at_home(configuration: &mut Value) -> Result<()> {
    let cluster = configuration.pointer_mut("/sidecar/cluster").context("no cluster")?;
    *cluster = "sidehook".into();
    Ok(())
}

fn from_file(plan: &Plan) -> Value {
    json!({"local": {"filename": plan.programs.filter}})
}

#[tokio::test]
async fn the_patches_of_istio_make_a_gateway_that_captures_whole_exchanges() -> Result<()> {
    let _machine = shared().await;
    let resource = of_kind("EnvoyFilter")?;
    let mut filter = part(&resource, "/spec/configPatches/0/patch/value")?;
    let more = part(&resource, "/spec/configPatches/1/patch/value/typed_config")?;
    let sidehook = before_people("envoy.yaml", |example, plan| {
        let config = filter.pointer_mut("/typed_config/config").context("no plugin")?;
        config["vm_config"]["code"] = from_file(plan);
        at_home(config.pointer_mut("/configuration/value").context("no configuration")?)?;
        with_filter(example, plan, filter, &more)
    });
    let sidehook = sidehook.await?;
    sidehook.post("/people/", ada()).await?.accepted()?;
    let events = sidehook.events().await?;
    let answered = |event: &Value| event.pointer("/data/id").is_some();
    ensure!(events.len() == 1 && answered(&events[0]), "{events:#?}");
    sidehook.stop().await
}

/// As control planes hand over a plugin about which only its configuration can be said.
fn handed_over(plan: &Plan, mut configuration: Value, policy: &str) -> Result<Value> {
    at_home(&mut configuration)?;
    Ok(json!({
        "name": "sidehook",
        "typed_config": {
            "@type": WASM,
            "config": {
                "name": "default.sidehook",
                "root_id": "sidehook",
                "failure_policy": policy,
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": from_file(plan)},
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": configuration.to_string(),
                },
            },
        },
    }))
}

#[tokio::test]
async fn a_plugin_of_which_little_can_be_said_holds_answers_and_captures_what_was_sent()
-> Result<()> {
    let _machine = shared().await;
    let [istio, _, envoy_gateway] = plugin_configurations()?;
    for (configuration, policy) in [(istio, "FAIL_RELOAD"), (envoy_gateway, "FAIL_CLOSED")] {
        let sidehook = before_people("envoy.yaml", |example, plan| {
            let filter = handed_over(plan, configuration, policy)?;
            with_filter(example, plan, filter, &Value::Null)
        });
        let sidehook = sidehook.await?;
        for _ in 0..5 {
            sidehook.post("/people/", ada()).await?.accepted()?;
        }
        // They were held: there is nothing to wait for.
        let events = sidehook.events().await?;
        ensure!(events.len() == 5, "{} events of 5", events.len());
        ensure!(events.iter().all(|event| name_of(event) == "Ada"), "{events:#?}");
        let read = sidehook.http.get(&sidehook.plan.gateway_url("/people/")).await?;
        ensure!(read.status.is_success(), "{read}");
        sidehook.stop().await?;
    }
    Ok(())
}
