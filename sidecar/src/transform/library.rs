//! The library of scripts, which subscriptions name `@slack`: those that come with the program,
//! and those of a folder, which is looked at again and again.
//!
//! Invariant: a name stands for the last text under it that could be compiled: a file that is
//! broken changes nothing but what is said of it. A file stands before a script of the program
//! with the same name.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sidehook_script_engine::Outcome;

use super::{sandbox::Sandbox, scripts::in_words};
use crate::model::{LONGEST_SCRIPT, Script};

/// How often the folder is looked at.
pub const EVERY: Duration = Duration::from_secs(1);
/// What the names of its files end with.
const EXTENSION: &str = "rhai";

/// Named scripts.
#[derive(Debug, Default)]
pub struct Library {
    folder: Option<PathBuf>,
    kept: RwLock<BTreeMap<String, Kept>>,
}

/// A script of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The last text that could be compiled, if there was one.
    pub script: Option<Script>,
    /// What is wrong with the text that is there now.
    pub error: Option<String>,
    /// The text that is there now, if it is a file's.
    file: Option<Script>,
}

impl Kept {
    /// Whether it comes with the program.
    pub fn is_built_in(&self) -> bool {
        self.file.is_none()
    }

    /// What it says of itself: the first of its comments.
    pub fn about(&self) -> Option<&str> {
        let first = self.script.as_ref()?.source.lines().next()?;
        Some(first.strip_prefix("//")?.trim_start_matches(['/', '!']).trim())
    }
}

/// Whether a script can be named so: 1 to 64 of a-z 0-9 - _.
pub fn is_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
}

impl Library {
    /// The scripts of the program, and those of the folder once it is looked at.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let built_in = BUILT_IN.iter().map(|(name, source)| {
            let kept = Kept { script: Some(Script::new(source)), error: None, file: None };
            ((*name).to_owned(), kept)
        });
        Self { folder, kept: RwLock::new(built_in.collect()) }
    }

    /// The script with this name.
    pub fn script(&self, name: &str) -> Option<Script> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(name)?.script.clone()
    }

    /// All of them, by their names.
    pub fn list(&self) -> Vec<(String, Kept)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(name, kept)| (name.clone(), kept.clone())).collect()
    }

    /// Looks at the folder, and says which names stand for another text than before.
    pub fn look(&self, sandbox: &Sandbox) -> Result<Vec<String>, String> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let files = read(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut changed = Vec::new();
        for (name, text) in &files {
            let known = self.known(name);
            let file = Some(Script::new(text.as_deref().unwrap_or_default()));
            if text.is_ok() && known.as_ref().is_some_and(|known| known.file == file) {
                continue;
            }
            let checked = text.clone().and_then(|text| check(sandbox, &text));
            let kept = match checked {
                Ok(script) => Kept { script: Some(script), error: None, file },
                Err(error) => {
                    let known = known.as_ref();
                    if known.and_then(|known| known.error.as_ref()) != Some(&error) {
                        tracing::warn!(
                            script = name,
                            error,
                            "a script of the library is broken; what it was before goes on"
                        );
                    }
                    Kept {
                        script: known.and_then(|known| known.script.clone()),
                        error: Some(error),
                        file,
                    }
                }
            };
            if known.and_then(|known| known.script) != kept.script {
                changed.push(name.clone());
            }
            self.keep(name.clone(), kept);
        }
        changed.extend(self.forget(&files));
        Ok(changed)
    }

    fn known(&self, name: &str) -> Option<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn keep(&self, name: String, kept: Kept) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(name, kept);
    }

    /// What is no longer in the folder is what the program has under its name, or nothing.
    fn forget(&self, files: &BTreeMap<String, Result<String, String>>) -> Vec<String> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let gone =
            kept.iter().filter(|(name, kept)| !kept.is_built_in() && !files.contains_key(*name));
        let gone: Vec<_> = gone.map(|(name, _)| name.clone()).collect();
        for name in &gone {
            tracing::warn!(script = name, "a script of the library is gone");
            kept.remove(name);
            if let Some((_, source)) = BUILT_IN.iter().find(|(known, _)| known == name) {
                let script = Some(Script::new(source));
                kept.insert(name.clone(), Kept { script, error: None, file: None });
            }
        }
        gone
    }
}

/// The texts of the folder by their names, or what keeps one from being read.
fn read(folder: &Path) -> io::Result<BTreeMap<String, Result<String, String>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name));
        let is_script = path.extension().is_some_and(|extension| extension == EXTENSION);
        if let Some(name) = name.filter(|_| is_script) {
            files.insert(name.to_owned(), text(&path));
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.len() > LONGEST_SCRIPT {
        return Err(format!("is longer than {LONGEST_SCRIPT} bytes"));
    }
    Ok(text)
}

fn check(sandbox: &Sandbox, text: &str) -> Result<Script, String> {
    match sandbox.check(text).map_err(|error| error.to_string())? {
        Outcome::Failed(fault) => Err(in_words(&fault)),
        Outcome::Ready | Outcome::Send { .. } | Outcome::Dropped { .. } => Ok(Script::new(text)),
    }
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The scripts that come with the program: name and text.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../scripts/", $name, ".rhai")))),*];
    };
}

built_in![
    "cloudevents",
    "csv",
    "discord",
    "form-encoded",
    "json-patch",
    "opsgenie",
    "pagerduty",
    "redact-pii",
    "slack",
    "teams",
    "telegram",
    "thin-event",
];
