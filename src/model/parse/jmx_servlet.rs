//! MBeans as the JMX servlet of Hadoop and HBase writes them, `{"beans": [{"name": ..., ATTRIBUTE: ...}, ...]}`, parsed
//! while they arrive (org.apache.hadoop.jmx.JMXJsonServlet, org.apache.hadoop.hbase.util.JSONBean).

use super::jolokia::properties;
use super::json_lenient::Lenient;
use super::json_stream::{self, Cells};
use crate::model::table::{Raw, Row};
use std::io::Read;

/// The domain of the MBeans with a daemon's own metrics; old versions write it in lower case.
const DOMAIN: &str = "Hadoop";

/// A pattern for MBean names, and the attributes to read from those that match.
pub struct Wanted {
    /// Domain and properties; the order of the properties does not matter. A `*` at the end of a value matches any
    /// text, `,*` at the end matches any further properties.
    pub pattern: &'static str,
    /// JSON pointers to attributes, or to members of composite attributes: `/HeapMemoryUsage/used`.
    pub places: Vec<&'static str>,
}

/// An MBean with the wanted cells that it has.
pub struct MBean {
    name: String,
    cells: Cells,
    /// No pattern matches its name, but it is in the daemon's domain and has wanted attributes.
    is_stray: bool,
    /// It has the same values as in the last answer. Set by the caller.
    pub is_repeated: bool,
}

/// The MBeans of one answer, or of several.
#[derive(Default)]
pub struct MBeans(Vec<MBean>);

/// Parses an answer. `None` if it is JSON without a list of MBeans.
///
/// # Errors
/// The answer is no JSON or is truncated; the text says where.
pub fn read(from: impl Read, wanted: &[Wanted]) -> Result<Option<MBeans>, String> {
    let mut found = Vec::new();
    let is_meant = |name: &str| wanted.iter().any(|wanted| star(wanted.pattern, name).is_some());
    let places = |name: Option<&str>| {
        let of = |wanted: &&Wanted| match name {
            Some(name) if is_of_daemon(name) && !is_meant(name) => is_of_daemon(wanted.pattern),
            Some(name) => star(wanted.pattern, name).is_some(),
            None => true,
        };
        wanted.iter().filter(of).flat_map(|wanted| wanted.places.iter().copied()).collect()
    };
    let is_list = json_stream::named(Lenient::new(from), ("beans", "name"), places, |name, cells| {
        if !cells.is_empty() {
            found.push(MBean { name: name.into(), cells, is_stray: !is_meant(name), is_repeated: false });
        }
    })?;
    Ok(is_list.then_some(MBeans(found)))
}

impl MBeans {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The MBeans with the daemon's own metrics, without those of the JVM.
    pub fn of_daemon(&mut self) -> impl Iterator<Item = &mut MBean> {
        self.0.iter_mut().filter(|mbean| is_of_daemon(&mbean.name))
    }

    /// Adds the MBeans of another answer.
    pub fn append(&mut self, mut other: MBeans) {
        self.0.append(&mut other.0);
    }

    /// The MBeans that match the pattern, each with the text matched by `*`; shortest name first. If none matches,
    /// MBeans that match no pattern and have more than half of the wanted attributes: names differ between versions.
    pub fn of<'m>(&'m self, wanted: &Wanted) -> Vec<(&'m MBean, String)> {
        let own = self.0.iter().filter_map(|mbean| Some((mbean, star(wanted.pattern, &mbean.name)?)));
        let mut found: Vec<_> = own.collect();
        if found.is_empty() && is_of_daemon(wanted.pattern) {
            let has_most = |mbean: &&MBean| {
                let there = wanted.places.iter().filter(|place| mbean.row().get(place).is_some()).count();
                mbean.is_stray && 2 * there > wanted.places.len()
            };
            found = self.0.iter().filter(has_most).map(|mbean| (mbean, String::new())).collect();
        }
        found.sort_by_key(|(mbean, _)| mbean.name.len());
        found
    }

    /// Whether one of the matching MBeans has the same values as in the last answer.
    pub fn is_repeated(&self, wanted: &Wanted) -> bool {
        self.of(wanted).iter().any(|(mbean, _)| mbean.is_repeated)
    }

    /// The cells of all matching MBeans as one row. If several have a cell, the first one in the order of
    /// [`MBeans::of`] wins.
    pub fn row(&self, wanted: &Wanted) -> Row<'_> {
        Row::of(self.of(wanted).into_iter().flat_map(|(mbean, _)| mbean.known()))
    }

    /// The text at `place` in one of the matching MBeans.
    pub fn text(&self, wanted: &Wanted, place: &str) -> Option<&str> {
        self.of(wanted).into_iter().find_map(|(mbean, _)| mbean.cells.text(place))
    }
}

impl MBean {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All wanted cells that it has.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The cells whose values are known: Java daemons report unknown values as negative numbers, NaN or Infinity.
    pub fn row(&self) -> Row<'_> {
        Row::of(self.known())
    }

    fn known(&self) -> impl Iterator<Item = (&str, Raw<'_>)> {
        self.cells.iter().filter(|(_, raw)| match raw {
            Raw::Int(number) => *number >= 0,
            Raw::Float(number) => *number >= 0.0,
            Raw::Text(text) => !text.starts_with('-') && !["NaN", "Infinity"].contains(text),
            Raw::Count(_) => true,
        })
    }
}

fn is_of_daemon(name: &str) -> bool {
    name.split(':').next().is_some_and(|domain| domain.eq_ignore_ascii_case(DOMAIN))
}

/// Matches a name with a pattern: the text matched by `*`, empty if there is no `*`. `None` if it does not match.
fn star(pattern: &str, name: &str) -> Option<String> {
    let (domain, wanted) = pattern.split_once(':')?;
    let wanted = (name.split_once(':')?.0 == domain).then_some(wanted)?;
    let (wanted, is_open) = wanted.strip_suffix(",*").map_or((wanted, false), |wanted| (wanted, true));
    let (own, mut star, mut count) = (properties(name), String::new(), 0_usize);
    for (key, value) in wanted.split(',').filter_map(|pair| pair.split_once('=')) {
        let (_, own) = own.iter().find(|(own, _)| own == key)?;
        match value.strip_suffix('*') {
            Some(begin) => star = own.strip_prefix(begin)?.into(),
            None if own == value => {}
            None => return None,
        }
        count += 1;
    }
    (is_open || count == own.len()).then_some(star)
}
