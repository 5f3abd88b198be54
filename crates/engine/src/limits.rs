//! Limits that this machine cannot enforce: refused, or told about, never passed over.

use compose::Project;
use model::container::{Limits, Unenforceable};
use model::event::{Event, EventSink};
use runtime::cgroup::{Gap, gaps};
use text::Diagnostic;

use crate::{Engine, Error, Result};

impl Engine {
    /// Decides what becomes of a new container's limits. A request that says
    /// [`Unenforceable::Warn`] comes from a compose file, whose reader has been told by
    /// [`unenforceable`].
    pub(crate) fn settle_limits(&self, limits: &mut Limits, events: &dyn EventSink) -> Result<()> {
        if limits.is_empty() {
            return Ok(());
        }
        let told = limits.unenforceable == Unenforceable::Warn;
        limits.unenforceable = self.settings.limits.unwrap_or(limits.unenforceable);
        for gap in gaps(limits)? {
            match limits.unenforceable {
                Unenforceable::Refuse => {
                    let hint = format!("{}; or set SHIM_LIMITS=warn to go without it", gap.remedy);
                    return Err(Error::invalid_hint(gap.to_string(), hint));
                }
                Unenforceable::Warn if told => {}
                Unenforceable::Warn => {
                    let text = format!("{gap}; the container goes without it");
                    events.send(Event::Warning { text });
                }
            }
        }
        Ok(())
    }
}

/// The limits of a project that this machine cannot enforce, one complaint a key, where it
/// is written. `asked` is what the caller wants to become of them.
pub fn unenforceable(project: &Project, asked: Option<Unenforceable>) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    for service in project.services.values() {
        let limits = &service.limits;
        for gap in gaps(&limits.limits).unwrap_or_default() {
            let keys = limits
                .keys
                .iter()
                .filter(|key| key.flag == gap.limit.flag());
            let complain = |key| complaint(&service.name, key, &gap, asked);
            // Two keys that say the same are one limit.
            complaints.extend(keys.take(1).map(complain));
        }
    }
    complaints
}

fn complaint(
    service: &str,
    key: &compose::LimitKey,
    gap: &Gap,
    asked: Option<Unenforceable>,
) -> Diagnostic {
    let what = format!(
        "service `{service}`: `{}` cannot be enforced: {}",
        key.key, gap.cause
    );
    match asked {
        Some(Unenforceable::Refuse) => Diagnostic::error(what)
            .at(key.span)
            .hint(format!("{}; or unset SHIM_LIMITS", gap.remedy)),
        Some(Unenforceable::Warn) | None => Diagnostic::warning(what)
            .at(key.span)
            .hint(gap.remedy.clone()),
    }
}
