//! Opens the sandbox of scripts, and keeps the library up to date.
//!
//! Invariant: a process whose sandbox does not open does everything but run scripts, and says so.

use std::{env, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};

use crate::{
    clock::Clock,
    config::Config,
    deliver::making,
    model::ScriptChoice,
    route::Table,
    store::Store,
    transform::{Library, Sandbox, Scripts, library::EVERY},
};

/// Opens the sandbox and looks at the library once.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<Scripts>> {
    let folder = config.scripts.clone();
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
        bail!("configuration key scripts: {} is no folder", folder.display());
    }
    let cache = config.script_cache.clone().or_else(usual_cache);
    let opening = tokio::task::spawn_blocking(move || {
        let sandbox = Sandbox::open(cache);
        let library = Library::new(folder);
        match &sandbox {
            Ok(sandbox) => {
                if let Err(error) = library.look(sandbox) {
                    tracing::warn!(error, "the library of scripts cannot be read");
                }
            }
            Err(error) => tracing::warn!(%error, "no scripts are run"),
        }
        Arc::new(Scripts::new(sandbox, Arc::new(library)))
    });
    opening.await.context("opening the sandbox of scripts")
}

/// Where programs of this user keep what they can make again (XDG Base Directory Specification).
pub(crate) fn usual_cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    cache.map(|cache| cache.join("sidehook"))
}

/// Watches the library.
pub(super) struct Watch {
    pub(super) folder: PathBuf,
    pub(super) scripts: Arc<Scripts>,
    pub(super) table: Arc<Table>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Watch {
    /// Looks again and again; what died of a script that has changed is made anew.
    pub(super) async fn run(self) {
        let mut last_error = None;
        loop {
            self.clock.sleep(EVERY).await;
            let scripts = Arc::clone(&self.scripts);
            let looking = tokio::task::spawn_blocking(move || {
                let sandbox = scripts.sandbox().map_err(|error| error.to_string())?;
                scripts.library().look(sandbox)
            });
            let looked = looking.await.unwrap_or_else(|error| Err(error.to_string()));
            match looked {
                Ok(changed) => {
                    last_error = None;
                    for name in changed {
                        self.changed(&name).await;
                    }
                }
                Err(error) if last_error.as_ref() == Some(&error) => {}
                Err(error) => {
                    let folder = self.folder.display();
                    tracing::warn!(%folder, error, "the library of scripts cannot be read");
                    last_error = Some(error);
                }
            }
        }
    }

    async fn changed(&self, name: &str) {
        tracing::info!(script = name, "a script of the library has changed");
        let now = self.clock.now();
        if let Some(script) = self.scripts.library().script(name)
            && let Err(error) = self.store.keep_script(&script, now).await
        {
            tracing::warn!(script = name, %error, "its text is not kept");
        }
        for subscription in self.table.subscriptions() {
            if subscription.script != Some(ScriptChoice::Library(name.to_owned())) {
                continue;
            }
            if let Err(error) = making::redrive(&*self.store, subscription.id, now).await {
                let subscription = subscription.id;
                tracing::warn!(%subscription, %error, "what died of its script is not made anew");
            }
        }
    }
}
