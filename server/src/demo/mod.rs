//! `footfall demo`: a server with a made-up shop in it, and three things to try.
//!
//! The shop's events are loaded once. What to load is written down before the first event (`demo/shop.json` in the store)
//! and that it is done after the last (`demo/loaded.json`); the same shop has the same events with the same insert ids,
//! so a load that was broken off is simply repeated.

mod credentials;
mod load;
pub mod shop;

use chrono::{Days, Utc};

use crate::commands::CommandError;
use crate::config::Settings;
use crate::listen::Inherited;
use crate::projects::{NewProject, Project};
use crate::serve::Server;
use credentials::DemoCredentials;
use load::Loaded;

const PROJECT: &str = "demo";
/// What the shop calls a purchase.
const PURCHASE: &str = "Order Completed";

pub async fn demo(settings: &Settings, inherited: Inherited) -> Result<(), CommandError> {
    let Some(server) = Server::start(settings, inherited).await? else { return Ok(()) };
    server.still("loading the shop's events");
    let credentials = credentials::ensure(&server.state.projects, settings, new_project(settings)).await?;
    let project = server.state.projects.by_name_or_id(PROJECT).await?;
    let project = project.ok_or_else(|| CommandError::failed("the demo project is gone"))?;
    let stopped = server.stopped();
    let loaded = tokio::select! {
        loaded = load::load(&server.state.engine, project.id, settings) => loaded?,
        () = stopped => Loaded::BrokenOff,
    };
    if loaded == Loaded::BrokenOff {
        return server.close().await;
    }
    server.run(|url| welcome(url, &project, credentials.as_ref(), settings)).await
}

fn new_project(settings: &Settings) -> NewProject {
    NewProject {
        name: PROJECT.to_owned(),
        timezone: chrono_tz::UTC,
        merge: settings.project.merge,
        shards: settings.shards.get(),
    }
}

fn welcome(url: &str, project: &Project, credentials: Option<&DemoCredentials>, settings: &Settings) -> String {
    let today = Utc::now().date_naive();
    let week_ago = today.checked_sub_days(Days::new(6)).unwrap_or(today);
    let (id, token) = (project.id, &project.token);
    // The secrets were shown to whoever created the project; a server's own bearer token opens it as well.
    let (account, curl_credentials) = match credentials {
        Some(c) => (
            format!(
                "service account  {}\n  secret           {}\n  api secret       {}",
                c.username, c.secret, c.api_secret
            ),
            format!("-u {}", shell(&format!("{}:{}", c.username, c.secret))),
        ),
        None => {
            let file = settings.data_dir.join("server.json");
            let read =
                format!("$(sed 's/.*\"token\":\"\\([0-9a-f]*\\)\".*/\\1/' {})", shell(&file.display().to_string()));
            ("its secrets were shown when it was created".to_owned(), format!("-H \"Authorization: Bearer {read}\""))
        }
    };
    let program = std::env::args().next().unwrap_or_else(|| "footfall".to_owned());
    let (program, data_dir) = (shell(&program), shell(&settings.data_dir.display().to_string()));
    format!(
        "footfall serves {url}

project demo, id {id}
  token            {token}
  {account}

How many people bought something, by day, from the Mixpanel API:
  curl -s {curl_credentials} '{url}/api/query/segmentation?project_id={id}&event={event}&type=unique&from_date={week_ago}&to_date={today}'
The busiest events, in SQL:
  {program} sql --data-dir {data_dir} --project demo 'SELECT event, count(*) AS events, count(DISTINCT user_id) AS users FROM events GROUP BY event ORDER BY events DESC'
Raw events:
  curl -s {curl_credentials} '{url}/api/2.0/export?project_id={id}&from_date={week_ago}&to_date={today}&limit=5'
",
        event = form_urlencoded::byte_serialize(PURCHASE.as_bytes()).collect::<String>(),
    )
}

/// Quoted for a shell where it needs to be.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::shell;

    #[test]
    fn pasted_words_stay_one_word() {
        assert_eq!(shell("./footfall-data"), "./footfall-data");
        assert_eq!(shell("my data"), "'my data'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
