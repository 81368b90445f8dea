//! MBeans as the JMX servlet of Hadoop and HBase writes them, `{"beans": [{"name": ..., ATTRIBUTE: ...}, ...]}`, read while they
//! come (org.apache.hadoop.jmx.JMXJsonServlet, org.apache.hadoop.hbase.util.JSONBean).

use super::jolokia::properties;
use super::json_lenient::Lenient;
use super::json_stream::{self, Cells};
use crate::model::table::{Raw, Row};
use std::io::Read;

/// The domain of what daemons of Hadoop and HBase tell of themselves; of old ones in small letters.
const DOMAIN: &str = "Hadoop";

/// What is wanted of the MBeans that a pattern means.
pub struct Wanted {
    /// Domain and properties, in any order; a `*` at the end of a value stands for any letters, `,*` at the end for any other
    /// properties.
    pub pattern: &'static str,
    /// Attributes with a slash before them, and behind another one a part: `/HeapMemoryUsage/used`.
    pub places: Vec<&'static str>,
}

/// An MBean with the cells that are wanted of it.
pub struct MBean {
    name: String,
    cells: Cells,
    /// None of the patterns means it, but it has attributes that are wanted.
    is_stray: bool,
    /// Told again as it was told before.
    pub is_repeated: bool,
}

/// The MBeans of a daemon.
#[derive(Default)]
pub struct MBeans(Vec<MBean>);

/// Reads an answer. `None` where it is JSON without a list of MBeans.
///
/// # Errors
/// It is no JSON, or not whole: says where.
pub fn read(from: impl Read, wanted: &[Wanted]) -> Result<Option<MBeans>, String> {
    let mut found = Vec::new();
    let is_meant = |name: &str| wanted.iter().any(|wanted| star(wanted.pattern, name).is_some());
    let places = |name: &str| {
        let is_stray = is_of_daemon(name) && !is_meant(name);
        let of = |wanted: &&Wanted| match is_stray {
            true => is_of_daemon(wanted.pattern),
            false => star(wanted.pattern, name).is_some(),
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

    /// Those that a daemon tells of itself, not of its virtual machine.
    pub fn of_daemon(&mut self) -> impl Iterator<Item = &mut MBean> {
        self.0.iter_mut().filter(|mbean| is_of_daemon(&mbean.name))
    }

    /// Puts those of another answer beside them.
    pub fn append(&mut self, mut other: MBeans) {
        self.0.append(&mut other.0);
    }

    /// Those that the pattern means, with what stands for its `*`; the one of the shortest name first. Where there are none, those
    /// that none of the patterns means and that have most of these places: versions differ in names.
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

    /// Whether one of these is told again as it was told before.
    pub fn is_repeated(&self, wanted: &Wanted) -> bool {
        self.of(wanted).iter().any(|(mbean, _)| mbean.is_repeated)
    }

    /// All of these as one: of each place the first that has it.
    pub fn row(&self, wanted: &Wanted) -> Row<'_> {
        Row::of(self.of(wanted).into_iter().flat_map(|(mbean, _)| mbean.known()))
    }

    /// The text in that place of one of these.
    pub fn text(&self, wanted: &Wanted, place: &str) -> Option<&str> {
        self.of(wanted).into_iter().find_map(|(mbean, _)| mbean.cells.text(place))
    }
}

impl MBean {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that is wanted of it.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// What is known of it: numbers below 0 and the words of Java for no number stand for what is not.
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

/// What stands in a name for the `*` of a pattern, nothing where it has none; `None`: the pattern means another one.
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
