//! Threads for what may take a while, which step back when others have work to do.
//!
//! Invariant: whoever awaits it waits, and nobody else does.

use std::{io, thread};

use tokio::sync::oneshot;

/// By how much such a thread steps back (`nice`): where a processor is wanted by both it gets a
/// half of what any other gets, and all of one that nobody else wants.
#[cfg(target_os = "linux")]
const STEP_BACK: i32 = 3;

/// Does `work` on a thread of its own, to the end, even if nobody waits for it any more.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("aside".to_owned()).spawn(move || {
        step_back();
        drop(done.send(work()));
    })?;
    result.await.map_err(|_| io::Error::other("it broke off"))
}

/// Elsewhere than on Linux this would be the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEP_BACK) {
        tracing::debug!(%error, "a thread could not step back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_aside_is_told_and_what_breaks_off_is_an_error() {
        assert_eq!(aside(|| 6 * 7).await.unwrap(), 42);
        let broken: Result<(), _> = aside(|| panic!("on purpose")).await;
        assert_eq!(broken.unwrap_err().to_string(), "it broke off");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_steps_back_and_who_asked_does_not() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(aside(nice).await.unwrap(), (before + STEP_BACK).min(19));
        assert_eq!(nice(), before);
    }
}
