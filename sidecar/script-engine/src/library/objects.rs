//! Maps: parts of them, several in one, and what changed between two.
//!
//! Invariant: no argument is changed; what is returned is new.

use rhai::{Array, Dynamic, Engine, Map};

use super::{
    Fallible,
    json::{from_value, to_value},
    wrong,
};
use crate::path::{self, change, look_up, put};

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("get", |value: Dynamic, path: &str| get(&value, path, Dynamic::UNIT))
        // Rhai has one of its own for maps, which knows no paths.
        .register_fn("get", |map: Map, path: &str| get(&map.into(), path, Dynamic::UNIT))
        .register_fn("get", |value: Dynamic, path: &str, otherwise: Dynamic| {
            get(&value, path, otherwise)
        })
        .register_fn("pick", pick)
        .register_fn("omit", omit)
        .register_fn("merge", |first: Map, second: Map| merge(first, second))
        .register_fn("compact", compact)
        .register_fn("json_patch", |before: Dynamic, after: Dynamic| json_patch(&before, &after))
        .register_fn("changed_keys", changed_keys);
}

/// The steps of a path, or an error.
pub(super) fn parse(path: &str) -> Fallible<Vec<String>> {
    let flawed = || wrong(format!("{path:?} is no path such as a.b[0].c or /a/b/0/c"));
    path::parse(path).ok_or_else(flawed)
}

fn get(value: &Dynamic, path: &str, otherwise: Dynamic) -> Fallible<Dynamic> {
    let found = look_up(value, &parse(path)?).filter(|found| !found.is_unit());
    Ok(found.unwrap_or(otherwise))
}

/// Paths, given as an array of texts.
pub(super) fn paths(name: &str, paths: Array) -> Fallible<Vec<Vec<String>>> {
    let each = paths.into_iter().map(|path| {
        let path = path.into_immutable_string();
        parse(&path.map_err(|_| wrong(format!("{name}: paths must be texts")))?)
    });
    each.collect()
}

fn pick(map: Map, wanted: Array) -> Fallible<Map> {
    let whole = map.into();
    let mut picked = Map::new();
    for steps in paths("pick", wanted)? {
        if let Some(found) = look_up(&whole, &steps) {
            put(&mut picked, &steps, found);
        }
    }
    Ok(picked)
}

fn omit(map: Map, unwanted: Array) -> Fallible<Dynamic> {
    let mut whole = map.into();
    for steps in paths("omit", unwanted)? {
        change(&mut whole, &steps, &|_| Ok(None))?;
    }
    Ok(whole)
}

/// Maps within both are merged; of all else the second counts.
fn merge(mut first: Map, second: Map) -> Map {
    for (name, value) in second {
        let both = first.get(&name).is_some_and(Dynamic::is_map) && value.is_map();
        let merged = if both {
            let inner = first.remove(&name).unwrap_or_default().cast::<Map>();
            merge(inner, value.cast::<Map>()).into()
        } else {
            value
        };
        first.insert(name, merged);
    }
    first
}

/// Without the members that are `()`, in maps within it too.
fn compact(map: Map) -> Map {
    let members = map.into_iter().filter(|(_, value)| !value.is_unit()).map(|(name, value)| {
        let value = if value.is_map() { compact(value.cast::<Map>()).into() } else { value };
        (name, value)
    });
    members.collect()
}

/// The operations that make the second of the first (RFC 6902).
fn json_patch(before: &Dynamic, after: &Dynamic) -> Fallible<Dynamic> {
    let patch = json_patch::diff(&to_value(before)?, &to_value(after)?);
    let patch = serde_json::to_value(patch).map_err(|error| wrong(error.to_string()))?;
    Ok(from_value(patch))
}

/// The names of the members that are not the same in both, in alphabetical order.
fn changed_keys(before: Map, after: Map) -> Fallible<Array> {
    let (before, after) = (to_value(&before.into())?, to_value(&after.into())?);
    let names = [&before, &after].into_iter().filter_map(serde_json::Value::as_object);
    let mut names: Vec<_> = names.flat_map(|members| members.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(name) != after.get(name));
    Ok(changed.map(|name| name.clone().into()).collect())
}
