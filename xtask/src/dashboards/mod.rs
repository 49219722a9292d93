//! `cargo xtask dashboards`: the dashboards of `docs/monitoring/grafana/`, drawn from a live run,
//! without a Grafana.
//!
//! Invariant: what is drawn was asked of a real Prometheus.

pub mod ask;
pub mod board;
pub mod draw;
pub mod scene;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::Args;

use self::{
    ask::Reader,
    board::Board,
    draw::{Page, Shown, WIDTH},
    scene::Scene,
};
use crate::{
    command::Program,
    options, people, ports, say,
    serving::Serving,
    stack::Programs,
    tools::{cargo::Build, chromium},
    workspace,
};

/// For how long the receiver that was away is there in the end, of all the time.
const BACK: f64 = 0.4;
/// How many values a line has.
const STEPS: u32 = 120;

/// What `dashboards` is told.
#[derive(Debug, Args)]
pub struct Dashboards {
    /// Put the pages and their pictures here [default: target/dashboards]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// Look at a run of so many seconds
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    seconds: u32,
}

/// Runs everything for a while, with one receiver away at first, and draws what Prometheus saw.
pub async fn dashboards(dashboards: Dashboards) -> Result<()> {
    let Dashboards { output, seconds } = dashboards;
    let output = output.unwrap_or_else(|| workspace::target().join("dashboards"));
    fs::create_dir_all(&output)?;
    let (programs, chromium) = (Programs::ensure(Build::Debug).await?, chromium::chromium().await?);
    let sample = Serving::start(people::api(), ports::free()?).await?;
    let plan = options::beside_others(programs, workspace::run_folder("dashboards"), sample.url())?;
    let scene = Scene::open(plan, false).await?;
    say::progress(format!("watching for {seconds} s"));
    let drawn = tokio::select! {
        played = scene.play() => played,
        drawn = watch(&scene, f64::from(seconds), &chromium, &output) => drawn,
    };
    drawn.and(scene.stop().await)
}

async fn watch(scene: &Scene, seconds: f64, chromium: &Path, output: &Path) -> Result<()> {
    tokio::time::sleep(Duration::from_secs_f64(seconds * (1.0 - BACK))).await;
    let _receiver = scene.bring_back().await?;
    tokio::time::sleep(Duration::from_secs_f64(seconds * BACK)).await;
    for board in Board::all()? {
        let choose = |values: &[String]| values.iter().find(|id| *id == scene.stray()).cloned();
        let reader = Reader::of(&board, scene.prometheus(), seconds, STEPS, choose).await?;
        let mut shown = Vec::new();
        for panel in &board.panels {
            let mut answers = Vec::new();
            for query in &panel.queries {
                answers.push(reader.ask(query).await?);
            }
            shown.push(Shown { panel, answers });
        }
        let page = draw::page(&board, &shown, reader.stretch(), &reader.choice());
        picture(chromium, &page, &output.join(board.name)).await?;
    }
    Ok(())
}

/// Writes a page, and takes a picture of it.
async fn picture(chromium: &Path, page: &Page, file: &Path) -> Result<()> {
    let (html, png) = (file.with_extension("html"), file.with_extension("png"));
    fs::write(&html, &page.html)?;
    let profile = workspace::run_folder("dashboards").join("chromium");
    let shot = Program::new(chromium).args(chromium::HEADLESS).args([
        format!("--user-data-dir={}", profile.display()),
        format!("--window-size={WIDTH},{}", page.height),
        format!("--screenshot={}", png.display()),
        format!("file://{}", fs::canonicalize(&html)?.display()),
    ]);
    shot.within(Duration::from_mins(1)).output().await?;
    // Few colours are enough for lines, and make a small file.
    let small = Program::new("pngquant").args(["--force", "--ext", ".png", "64"]).args([&png]);
    small.output().await?;
    say::line(png.display());
    Ok(())
}
