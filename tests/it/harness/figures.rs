//! `/metrics`, as a scraper reads it.

use std::collections::BTreeMap;

use reqwest::Method;

use super::api::Reply;
use super::server::Server;

/// The figures of one scrape, by name and labels as written.
#[derive(Clone, Debug)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub async fn scrape(server: &Server) -> Self {
        let reply = Reply::of(server.request(Method::GET, "/metrics")).await.ok();
        Self::parse(&reply.text())
    }

    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let figures = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no figure: {line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        });
        Self(figures.collect())
    }

    /// The sum over all series of a metric whose labels hold all of `labels`, each as `name="value"`.
    pub fn sum(&self, metric: &str, labels: &[&str]) -> u64 {
        let fits = |series: &str| {
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            name == metric && labels.iter().all(|label| rest.contains(label))
        };
        self.0.iter().filter(|(series, _)| fits(series)).map(|(_, value)| *value as u64).sum()
    }
}
