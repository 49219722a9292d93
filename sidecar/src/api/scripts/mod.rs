//! `/scripts`: the library, the texts of versions, and trying a script before it goes live.
//!
//! Invariant: nothing here sends or changes anything; a script is run only in the sandbox, and
//! never on the threads that serve others.

mod backtest;
mod run;

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use sidehook_event::Event;
use sidehook_script_engine::{Fault, Outcome};
use utoipa::ToSchema;

use super::{
    Context, Flaws, Place, Problem,
    form::Reader,
    openapi::Description,
    path::Keys,
    read::text,
    routes::{Routes, get, post},
};
use crate::{
    deliver::making,
    model::{LONGEST_SCRIPT, Scope, Script, ScriptChoice, ScriptVersion, Subscription},
    transform::{
        Rendered, Renderer, ShownFault, aside, library::Kept, sandbox::Unavailable,
        scripts::in_words,
    },
};

const MISSING: &str = "there is no such script";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let read = Scope::SubscriptionsRead;
    Routes::new()
        .at("/scripts", [get(read, list, listed)])
        .at("/scripts/run", [post(Scope::SubscriptionsWrite, run::run, run::told)])
        .at("/scripts/backtest", [post(Scope::EventsRead, backtest::backtest, backtest::told)])
        .at("/scripts/{key}", [get(read, one, shown)])
}

fn listed() -> Description {
    Description::of("listScripts", "List the library")
        .about("All of it, on one page.")
        .lists::<Shown>("By name.")
}

fn shown() -> Description {
    Description::of("showScript", "Show a script of the library, or the text of a version")
        .shows_either::<Shown, ShownVersion>(StatusCode::OK, "With its `source`.")
}

/// A script of the library, as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LibraryScript)]
struct Shown {
    name: String,
    #[schema(required)]
    version: Option<String>,
    #[schema(required)]
    about: Option<String>,
    built_in: bool,
    /// What is wrong with its file, while an earlier text goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    data: Vec<Shown>,
    next: Option<String>,
}

/// The text of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScriptVersion)]
struct ShownVersion {
    version: String,
    source: String,
}

/// `GET /scripts`.
async fn list(State(context): State<Arc<Context>>) -> Json<Listed> {
    let listed = context.scripts.library().list().into_iter();
    let data = listed.map(|(name, kept)| Shown::of(name, &kept)).collect();
    Json(Listed { data, next: None })
}

/// `GET /scripts/@{name}` and `GET /scripts/{version}`.
async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<axum::response::Response, Problem> {
    use axum::response::IntoResponse as _;
    if let Some(name) = key.strip_prefix('@') {
        let mut listed = context.scripts.library().list().into_iter();
        let found = listed.find(|(known, _)| known == name).ok_or(Problem::NotFound(MISSING))?;
        let source = found.1.script.as_ref().map(|script| script.source.to_string());
        let shown = Shown { source, ..Shown::of(found.0, &found.1) };
        return Ok(Json(shown).into_response());
    }
    let version = ScriptVersion::parse(&key).ok_or(Problem::NotFound(MISSING))?;
    let found = context.store.script(version).await?.ok_or(Problem::NotFound(MISSING))?;
    let Script { version, source } = found;
    let shown = ShownVersion { version: version.to_string(), source: source.to_string() };
    Ok(Json(shown).into_response())
}

impl Shown {
    fn of(name: String, kept: &Kept) -> Self {
        Self {
            name,
            version: kept.script.as_ref().map(|script| script.version.to_string()),
            about: kept.about().map(str::to_owned),
            built_in: kept.is_built_in(),
            error: kept.error.clone(),
            source: None,
        }
    }
}

impl Context {
    /// Runs what takes a while on a thread for that, when one of those that scripts may be tried
    /// on is free.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.scripts.place_to_try().await;
        let working = aside(move || {
            // Kept until it is done, even if nobody waits for it any more.
            let _place = place;
            work()
        });
        match working.await {
            Ok(done) => done.map_err(|unavailable| Problem::Unavailable(unavailable.to_string())),
            Err(broken) => Err(Problem::Internal(broken.into())),
        }
    }

    /// Refuses a script that cannot be run, and keeps the text of one that can.
    pub(super) async fn check_script(&self, choice: Option<&ScriptChoice>) -> Result<(), Problem> {
        let Some(choice) = choice else { return Ok(()) };
        let at = |flaws: Flaws| Problem::Invalid(flaws.within("script"));
        let script = self.scripts.chosen(choice).map_err(|error| at(Flaws::here(error)))?;
        if let ScriptChoice::Own(_) = choice {
            self.compile(&script).await?.map_err(at)?;
        }
        Ok(self.store.keep_script(&script, self.clock.now()).await?)
    }

    /// What is wrong with a script.
    pub(super) async fn compile(&self, script: &Script) -> Result<Result<(), Flaws>, Problem> {
        let (scripts, source) = (Arc::clone(&self.scripts), Arc::clone(&script.source));
        let checked = self.aside(move || scripts.sandbox()?.check(&source)).await?;
        Ok(match checked {
            Outcome::Failed(fault) => Err(flaws(&fault, &script.source)),
            Outcome::Ready | Outcome::Send { .. } | Outcome::Dropped { .. } => Ok(()),
        })
    }

    /// What a subscription would be sent of an event.
    pub(super) async fn made(
        &self,
        event: Event,
        subscription: Arc<Subscription>,
    ) -> Result<(Event, Rendered), Problem> {
        let scripts = Arc::clone(&self.scripts);
        self.aside(move || {
            let (rendered, _) = Renderer::new(&event).make(&subscription, &scripts)?;
            Ok((event, rendered))
        })
        .await
    }

    /// What died of the earlier script is made anew by the later one.
    pub(super) async fn redrive_scripted(
        &self,
        earlier: &Subscription,
        later: &Subscription,
    ) -> Result<(), Problem> {
        if earlier.script != later.script {
            making::redrive(&*self.store, later.id, self.clock.now()).await?;
        }
        Ok(())
    }
}

/// A script that is named, or its text. Whether it can be run is found out where scripts run.
pub(super) fn choice() -> Reader<ScriptChoice> {
    let choice = text().then(|text| {
        if text.len() > LONGEST_SCRIPT {
            return Err(format!("must not be longer than {LONGEST_SCRIPT} bytes"));
        }
        if text.trim().is_empty() {
            return Err("must be a script, or @name for one of the library".to_owned());
        }
        Ok(ScriptChoice::parse(&text))
    });
    choice.with(|| json!({"minLength": 1, "maxLength": LONGEST_SCRIPT}))
}

/// What is wrong with a script, with its place and the line itself.
fn flaws(fault: &Fault, source: &str) -> Flaws {
    let message = in_words(fault);
    match ShownFault::of(fault, source) {
        ShownFault { line: Some(line), column, text, hint, .. } => {
            let (column, text) = (column.unwrap_or(0), text.unwrap_or_default());
            Flaws::at_place(message, Place { line, column, text, hint })
        }
        ShownFault { line: None, .. } => Flaws::here(message),
    }
}
