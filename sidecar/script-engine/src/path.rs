//! Paths into a value: `address.city`, `items[0].name`, or a JSON pointer (RFC 6901),
//! `/items/0/name`.
//!
//! Invariant: a path that leads nowhere is no error; one that cannot be read is.

use rhai::{Array, Dynamic, Map};

use crate::library::Fallible;

/// The names and numbers on the way; `None` if it cannot be read.
pub fn parse(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    if let Some(pointer) = path.strip_prefix('/') {
        let steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        return Some(steps.collect());
    }
    let mut steps = Vec::new();
    for step in path.split('.') {
        let (name, mut rest) = step.split_at(step.find('[').unwrap_or(step.len()));
        if name.is_empty() && rest.is_empty() {
            return None;
        }
        if !name.is_empty() {
            steps.push(name.to_owned());
        }
        while let Some(open) = rest.strip_prefix('[') {
            let (number, after) = open.split_once(']')?;
            number.parse::<usize>().ok()?;
            steps.push(number.to_owned());
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(steps)
}

/// What lies at the end of the way.
pub(crate) fn look_up(value: &Dynamic, steps: &[String]) -> Option<Dynamic> {
    let Some((step, rest)) = steps.split_first() else { return Some(value.clone()) };
    if let Ok(map) = value.as_map_ref() {
        return look_up(map.get(step.as_str())?, rest);
    }
    let array = value.as_array_ref().ok()?;
    look_up(array.get(step.parse::<usize>().ok()?)?, rest)
}

/// Changes what lies at the end of the way, if something does.
pub(crate) fn change(
    value: &mut Dynamic,
    steps: &[String],
    change: &dyn Fn(&Dynamic) -> Fallible<Option<Dynamic>>,
) -> Fallible<()> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    if value.is_map() {
        let Some(mut map) = value.write_lock::<Map>() else { return Ok(()) };
        if !rest.is_empty() {
            return map
                .get_mut(step.as_str())
                .map_or(Ok(()), |inner| self::change(inner, rest, change));
        }
        let Some(last) = map.get(step.as_str()) else { return Ok(()) };
        match change(last)? {
            Some(new) => map.insert(step.as_str().into(), new),
            None => map.remove(step.as_str()),
        };
        return Ok(());
    }
    let Some(mut array) = value.write_lock::<Array>() else { return Ok(()) };
    let number = step.parse::<usize>().unwrap_or(usize::MAX);
    let Some(inner) = array.get_mut(number) else { return Ok(()) };
    if !rest.is_empty() {
        return self::change(inner, rest, change);
    }
    match change(inner)? {
        Some(new) => *inner = new,
        None => {
            drop(array.remove(number));
        }
    }
    Ok(())
}

/// Puts something at the end of the way, and maps along it where nothing is.
pub(crate) fn put(map: &mut Map, steps: &[String], value: Dynamic) {
    let Some((step, rest)) = steps.split_first() else { return };
    if rest.is_empty() {
        map.insert(step.as_str().into(), value);
        return;
    }
    let inner = map.entry(step.as_str().into()).or_insert_with(|| Map::new().into());
    if let Some(mut inner) = inner.write_lock::<Map>() {
        put(&mut inner, rest, value);
    }
}
