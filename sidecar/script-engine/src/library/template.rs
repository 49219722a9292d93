//! Texts with gaps: `render("Hello {{data.name}}", event)`.
//!
//! Invariant: a gap is filled with the text as it is; where nothing is to be found it is empty.

use rhai::{Dynamic, Engine};

use super::{Fallible, encoding::in_words, objects::parse, wrong};
use crate::path::look_up;

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("render", |template: &str, value: Dynamic| {
            render(template, &value, |text| text)
        })
        .register_fn("render_html", |template: &str, value: Dynamic| {
            render(template, &value, |text| escape_html(&text))
        })
        .register_fn("escape_html", escape_html);
}

fn render(template: &str, value: &Dynamic, escape: fn(String) -> String) -> Fallible<String> {
    let mut rendered = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, gap)) = rest.split_once("{{") {
        let unclosed = || wrong("render: a gap {{ has no end }}");
        let (path, after) = gap.split_once("}}").ok_or_else(unclosed)?;
        rendered.push_str(before);
        if let Some(found) = look_up(value, &parse(path.trim())?) {
            rendered.push_str(&escape(in_words("render", &found)?));
        }
        rest = after;
    }
    rendered.push_str(rest);
    Ok(rendered)
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
