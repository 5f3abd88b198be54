//! The one consumer of events: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use model::event::{Event, EventSink};

use crate::terminal;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bars that move.
    Bars,
    /// A line an event.
    Plain,
    /// Warnings only.
    Quiet,
}

impl Style {
    /// Bars where somebody looks, lines elsewhere.
    pub(crate) fn for_host(host: &crate::host::Host, quiet: bool) -> Self {
        match (quiet, host.stderr_tty) {
            (true, _) => Self::Quiet,
            (_, true) => Self::Bars,
            _ => Self::Plain,
        }
    }
}

/// Shows events on standard error.
pub(crate) struct Renderer {
    style: Style,
    bars: MultiProgress,
    state: Mutex<HashMap<String, Line>>,
}

struct Line {
    action: String,
    bar: Option<ProgressBar>,
}

impl Renderer {
    /// A renderer for one request.
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            bars: MultiProgress::new(),
            state: Mutex::new(HashMap::new()),
        }
    }

    /// A message; whatever it names is made harmless.
    fn line(&self, text: &str) {
        self.show(&terminal::message(text));
    }

    fn show(&self, text: &str) {
        // A closed standard error is no reason to end the work.
        match self.style {
            Style::Bars => drop(self.bars.println(text)),
            _ => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn started(&self, id: String, action: String) {
        let bar = (self.style == Style::Bars).then(|| {
            let template = "{spinner} {prefix} {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(terminal::message(&id).into_owned());
            bar.set_message(terminal::message(&action).into_owned());
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        if self.style == Style::Plain {
            self.line(&format!("{id} {action}"));
        }
        self.lock().insert(id, Line { action, bar });
    }

    fn progress(&self, id: &str, done: u64, total: Option<u64>) {
        if let Some(Line {
            action,
            bar: Some(bar),
        }) = self.lock().get(id)
        {
            let size = model::units::format_size;
            let action = terminal::message(action);
            bar.set_message(match total {
                Some(total) => format!("{action} {} of {}", size(done), size(total)),
                None => format!("{action} {}", size(done)),
            });
        }
    }

    fn ended(&self, id: &str, outcome: &str) {
        let line = self.lock().remove(id);
        match line.and_then(|line| line.bar) {
            Some(bar) => {
                bar.set_style(
                    ProgressStyle::with_template("  {prefix} {msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                );
                bar.finish_with_message(terminal::message(outcome).into_owned());
            }
            None => self.line(&format!("{id} {outcome}")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Line>> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl EventSink for Renderer {
    fn send(&self, event: Event) {
        match (self.style, event) {
            (_, Event::Warning { text }) => self.line(&format!("warning: {text}")),
            (Style::Quiet, _) => {}
            (_, Event::Started { id, action }) => self.started(id, action),
            (_, Event::Progress { id, done, total }) => self.progress(&id, done, total),
            (_, Event::Done { id, outcome } | Event::Failed { id, outcome }) => {
                self.ended(&id, &outcome);
            }
            (_, Event::Output { id: _, text }) => {
                for line in text.lines() {
                    self.show(&format!("  {}", terminal::step_output(line)));
                }
            }
        }
    }
}
