//! `sidehook token`: makes, lists and revokes the tokens of a sidecar, by its API.
//!
//! Invariant: what `create` prints is the token and nothing else, so that it can be piped to where
//! it belongs; no other command prints one.

use std::{io::Write, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    reach::Reach,
    terminal::{escaped, to_the_second},
};
use crate::model::Scope;

/// What `sidehook token` can do.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it: the sidecar does not know it any more afterwards
    Create(CreateArgs),
    /// List the tokens that were made, without the tokens themselves
    List(ListArgs),
    /// Let a token's bearer in no more
    Revoke(RevokeArgs),
}

/// What `sidehook token create` is told.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Whose it is
    #[arg(long)]
    name: String,

    /// What it allows; repeat it for more: events:write, events:read, subscriptions:read,
    /// subscriptions:write, deliveries:read, deliveries:redrive, metrics:read, admin
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,

    /// After how long it ends, such as 90d [default: never]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,

    #[command(flatten)]
    reach: Reach,
}

/// What `sidehook token list` is told.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    reach: Reach,
}

/// What `sidehook token revoke` is told.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The token's id, tok_…
    id: String,

    #[command(flatten)]
    reach: Reach,
}

/// Asks the sidecar to do it.
pub async fn run(command: TokenCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(args) => create(args, out).await?,
        TokenCommand::List(args) => list(args, out).await?,
        TokenCommand::Revoke(args) => revoke(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Not to be shown, hence without `Debug`.
#[derive(Deserialize)]
struct Made {
    token: String,
}

async fn create(args: CreateArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let scopes: Vec<_> = args.scopes.iter().map(|scope| scope.name()).collect();
    let body = json!({ "name": args.name, "scopes": scopes, "expires_in": args.expires_in });
    let made = args.reach.ask(Method::POST, &["tokens"], &[], Some(&body)).await?;
    let made: Made = serde_json::from_str(&made).context("reading the token that was made")?;
    writeln!(out, "{}", made.token)?;
    Ok(())
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: String,
    scopes: Vec<String>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl Listed {
    /// Its cells; whatever comes from outside cannot move the cursor.
    fn row(&self) -> [String; 5] {
        let end = match (&self.revoked_at, &self.expires_at) {
            (Some(at), _) => format!("revoked {}", to_the_second(at)),
            (None, Some(at)) => format!("ends {}", to_the_second(at)),
            (None, None) => "no end".to_owned(),
        };
        let row = [&self.id, &self.name, &self.scopes.join(" "), to_the_second(&self.created_at)];
        let [id, name, scopes, made] = row.map(|cell| escaped(cell).replace('\n', " "));
        [id, name, scopes, made, escaped(&end)]
    }
}

async fn list(args: ListArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let heading = ["ID", "NAME", "SCOPES", "MADE", "END"].map(str::to_owned);
    let mut rows = vec![heading];
    let mut cursor = None;
    loop {
        let after = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page = args.reach.ask(Method::GET, &["tokens"], after.as_slice(), None).await?;
        let page: Page = serde_json::from_str(&page).context("reading the list of tokens")?;
        rows.extend(page.data.iter().map(Listed::row));
        // A list that leads nowhere is not followed.
        if page.next.is_none() || page.data.is_empty() {
            break;
        }
        cursor = page.next;
    }
    write!(out, "{}", aligned(&rows))?;
    Ok(())
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    args.reach.ask(Method::DELETE, &["tokens", &args.id], &[], None).await.map(drop)
}

/// Cells in columns, the last one as it is.
fn aligned(rows: &[[String; 5]]) -> String {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_cannot_move_the_cursor() {
        let listed = Listed {
            id: "tok_1".to_owned(),
            name: "a\x1b[2J\nb".to_owned(),
            scopes: vec!["admin".to_owned(), "events:write".to_owned()],
            created_at: "2026-11-25T02:00:00.000000Z".to_owned(),
            expires_at: Some("2027-02-23T02:00:00.000000Z".to_owned()),
            revoked_at: None,
        };
        let rows = [["ID", "NAME", "SCOPES", "MADE", "END"].map(str::to_owned), listed.row()];
        assert_eq!(
            aligned(&rows),
            "ID     NAME          SCOPES              MADE                 END\n\
             tok_1  a\\u001b[2J b  admin events:write  2026-11-25T02:00:00  ends 2027-02-23T02:00:00\n"
        );
    }
}
