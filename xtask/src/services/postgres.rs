//! A Postgres of our own, of Debian's package.
//!
//! Invariant: it listens on the loopback address alone and keeps everything in one folder; it
//! syncs each commit, as one that is depended on would, and it ends when we end.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::{clear, folder_of};
use crate::{
    child::{Child, Output},
    clock::Stopwatch,
    command::Program,
    ports, say,
    tools::apt,
};

/// The variable that tells tests where it is.
pub const VARIABLE: &str = "SIDEHOOK_TEST_POSTGRES";

/// Where Debian keeps a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The superuser, and its password. Neither is a secret; they keep out who errs in the port.
const USER: &str = "sidehook";
const PASSWORD: &str = "sidehook";

/// After a crash it first makes good what was under way.
const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

/// A Postgres that is running.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    server: Child,
}

impl Postgres {
    /// Starts one, empty, in a folder under `target/`; it takes connections when this returns.
    pub async fn start() -> Result<Self> {
        Self::start_in(&folder_of("postgres")).await
    }

    /// Starts one, empty, in this folder, which is cleared first.
    pub async fn start_in(folder: &Path) -> Result<Self> {
        let (programs, user) = (ensure().await?, User::other_than_root()?);
        clear(folder)?;
        let folder = place(folder, user.as_ref()).await?;
        clear(&folder)?;
        Self::launch_in(programs, folder, user).await
    }

    /// Starts one in this folder, with what an earlier one left there.
    pub async fn open_in(folder: &Path) -> Result<Self> {
        let (programs, user) = (ensure().await?, User::other_than_root()?);
        let folder = place(folder, user.as_ref()).await?;
        Self::launch_in(programs, folder, user).await
    }

    async fn launch_in(programs: PathBuf, folder: PathBuf, user: Option<User>) -> Result<Self> {
        say::progress("starting a Postgres");
        make_folder(&folder, user.as_ref())?;
        if !folder.join("data").join("PG_VERSION").exists() {
            make(&programs, &folder, user.as_ref()).await?;
        }
        let port = ports::free()?;
        let server = launch(&programs, &folder, user.as_ref(), port).await?;
        Ok(Self { programs, folder, user, port, server })
    }

    /// The address of a database that is always there, with a user who may do everything.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// What it answers to a statement, a row in a line.
    pub async fn ask(&self, statement: &str) -> Result<String> {
        let psql = Program::new(self.programs.join("psql"));
        psql.args(["-qtA", "-c", statement, &self.url()]).output().await
    }

    /// Its process, to be stopped, frozen or killed.
    pub fn server(&mut self) -> &mut Child {
        &mut self.server
    }

    /// Starts it anew, on the same port and data, after it has ended in whatever way.
    pub async fn restart(&mut self) -> Result<()> {
        self.server = launch(&self.programs, &self.folder, self.user.as_ref(), self.port).await?;
        Ok(())
    }

    /// Stops it, whoever is still connected.
    pub async fn stop(mut self) -> Result<()> {
        if self.server.pid().is_some() {
            // SIGTERM alone would wait for clients.
            self.server.signal(Signal::INT)?;
        }
        self.server.stop(STOP).await.map(drop)
    }
}

/// The programs of the newest version that is here, installed first if there is none.
async fn ensure() -> Result<PathBuf> {
    if let Some(programs) = newest(Path::new(VERSIONS)) {
        return Ok(programs);
    }
    without_a_cluster(apt::install_stopped(&["postgresql"], "to test with a real Postgres"))
        .await?;
    let programs = newest(Path::new(VERSIONS));
    programs
        .with_context(|| format!("no {VERSIONS}/*/bin here: install Debian's package postgresql"))
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(versions).ok()?.filter_map(|entry| {
        let version = entry.ok()?.path();
        let number: u32 = version.file_name()?.to_str()?.parse().ok()?;
        let programs = version.join("bin");
        programs.join("postgres").exists().then_some((number, programs))
    });
    versions.max_by_key(|(number, _)| *number).map(|(_, programs)| programs)
}

/// What Debian reads before it makes the database that comes with the package.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.d/sidehook.conf";

/// Has Debian's package install no database of its own, which nobody here would use.
async fn without_a_cluster(install: impl Future<Output = Result<()>>) -> Result<()> {
    let file = Path::new(CLUSTERS);
    let folder = file.parent().context("a file has a folder")?;
    // Installing will say what is wrong where this user may not write.
    let forbidden = fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, "create_main_cluster = false\n"))
        .is_ok();
    let installed = install.await;
    if forbidden {
        fs::remove_file(file).with_context(|| format!("failed to remove {CLUSTERS} again"))?;
        // Someone else's files may lie beside it.
        let _ = fs::remove_dir(folder);
    }
    installed
}

/// Whom the server runs as: it refuses to be root.
#[derive(Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// None where we are not root and it can run as we do.
    fn other_than_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let found = ["postgres", "nobody"].into_iter().find_map(|name| Self::named(name, &users));
        found.map(Some).context("there is no user postgres and no user nobody to run Postgres as")
    }

    fn named(name: &str, users: &str) -> Option<Self> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        users.lines().map(fields).find_map(|fields| {
            let [known, _, uid, gid, ..] = fields.as_slice() else { return None };
            let user = Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
            (known == name).then_some(user)
        })
    }
}

/// `program` run as `user`, as a program and its first arguments. A change of user clears what
/// tells a program of its parent's death, so that it is said again, as the signal on which
/// Postgres waits for nobody.
fn run_as(user: Option<&User>, program: &Path) -> (PathBuf, Vec<OsString>) {
    let Some(User { uid, gid }) = user else { return (program.to_owned(), Vec::new()) };
    let arguments = [
        format!("--reuid={uid}"),
        format!("--regid={gid}"),
        "--clear-groups".to_owned(),
        "--pdeathsig=INT".to_owned(),
        "--".to_owned(),
    ];
    let arguments = arguments.into_iter().map(OsString::from);
    ("/usr/bin/setpriv".into(), arguments.chain([program.as_os_str().to_owned()]).collect())
}

/// The folder itself, or one for temporary files where `user` cannot get to it, as in a home that
/// is closed to others.
async fn place(folder: &Path, user: Option<&User>) -> Result<PathBuf> {
    make_folder(folder, user)?;
    let (program, arguments) = run_as(user, Path::new("/usr/bin/test"));
    let enter = Program::new(program).args(arguments).args(["-w"]).args([folder]);
    if enter.output().await.is_ok() {
        return Ok(folder.to_owned());
    }
    let name = folder.to_string_lossy().replace('/', "-");
    let place = std::env::temp_dir().join(format!("sidehook{name}"));
    say::progress(format!("keeping it in {}, where Postgres' user may go", place.display()));
    Ok(place)
}

fn make_folder(folder: &Path, user: Option<&User>) -> Result<()> {
    let made = || {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        user.map_or(Ok(()), |user| chown(folder, Some(user.uid), Some(user.gid)))
    };
    made().with_context(|| format!("failed to make {}", folder.display()))
}

/// Makes an empty database server.
async fn make(programs: &Path, folder: &Path, user: Option<&User>) -> Result<()> {
    let password = folder.join("password");
    fs::write(&password, PASSWORD)?;
    let data = folder.join("data");
    let (program, arguments) = run_as(user, &programs.join("initdb"));
    let made = Program::new(program)
        .args(arguments)
        .args(["--pgdata".as_ref(), data.as_os_str(), "--pwfile".as_ref(), password.as_os_str()])
        // The password is sent as it is: to hash it thousands of times for each connection, as is
        // usual, takes programs that were not optimised a tenth of a second.
        .args(["--username", USER, "--auth=password", "--encoding=UTF8", "--locale=C.UTF-8"])
        // Nobody's data is lost with a server that is empty: what is committed later is synced.
        .args(["--no-sync"])
        .output()
        .await;
    fs::remove_file(&password)?;
    made.map(drop).context("failed to make a Postgres")
}

async fn launch(programs: &Path, folder: &Path, user: Option<&User>, port: u16) -> Result<Child> {
    let (program, mut arguments) = run_as(user, &programs.join("postgres"));
    arguments.extend(["-D".into(), folder.join("data").into_os_string()]);
    for setting in [
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("port={port}"),
        // Every test has a database and connections of its own.
        "max_connections=200".to_owned(),
        "shared_preload_libraries=pg_stat_statements".to_owned(),
    ] {
        arguments.extend(["-c".into(), setting.into()]);
    }
    let mut server = Child::start("postgres", &program, arguments, folder, Output::Log)?;
    let start = Stopwatch::start();
    loop {
        let asked = Program::new(programs.join("pg_isready"))
            .args(["--host=127.0.0.1".to_owned(), format!("--port={port}")]);
        if asked.output().await.is_ok() {
            return Ok(server);
        }
        if start.elapsed() > START {
            bail!("Postgres does not answer after {START:?}{}", server.last_words());
        }
        tokio::select! {
            death = server.death() => return Err(death),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_by_its_number_is_taken() {
        let versions = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "doc"] {
            let programs = versions.path().join(version).join("bin");
            fs::create_dir_all(&programs).unwrap();
            if version != "17" {
                fs::write(programs.join("postgres"), "").unwrap();
            }
        }
        let found = newest(versions.path()).unwrap();
        assert_eq!(found, versions.path().join("15").join("bin"));
        assert_eq!(newest(&versions.path().join("15")), None);
    }

    #[tokio::test]
    async fn it_keeps_its_data_when_it_is_killed_and_started_again() {
        let folder = folder_of("postgres-test");
        let mut postgres = Postgres::start_in(&folder).await.unwrap();
        let programs = postgres.programs.clone();
        let psql = async |url: &str, statement: &str| {
            let psql = Program::new(programs.join("psql"));
            psql.args(["-qtA", "-c", statement, url]).output().await
        };
        let url = postgres.url();
        psql(&url, "CREATE TABLE t AS SELECT 7 AS n").await.unwrap();
        assert_eq!(psql(&url, "SHOW fsync").await.unwrap(), "on\n");
        postgres.server().signal(Signal::KILL).unwrap();
        postgres.server().ended().await.unwrap();
        assert!(psql(&url, "SELECT n FROM t").await.is_err());
        postgres.restart().await.unwrap();
        assert_eq!(psql(&url, "SELECT n FROM t").await.unwrap(), "7\n");
        postgres.stop().await.unwrap();

        let postgres = Postgres::open_in(&folder).await.unwrap();
        assert_eq!(psql(&postgres.url(), "SELECT n FROM t").await.unwrap(), "7\n");
        let guessed = postgres.url().replace(":sidehook@", ":guess@");
        assert!(psql(&guessed, "SELECT 1").await.is_err());
        postgres.stop().await.unwrap();
    }
}
