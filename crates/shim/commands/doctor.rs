use std::process::ExitCode;

use clap::Args;
use engine::doctor::{Facts, Finding, Severity, judge, worst};
use serde_json::json;

use crate::error::CliError;
use crate::host::Host;

/// Explains this machine: what was found, what follows from it, and the command that mends
/// it. Exits with 0 if all is fine, 1 if something is lost, 2 if containers cannot run.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Prints the findings as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs, host: &Host) -> Result<ExitCode, CliError> {
    let bundles = host.registry(true).ca_bundles;
    let findings = judge(&Facts::gather(&host.root, &host.run, &bundles)?);
    let worst = worst(&findings);
    let text = match args.json {
        true => format!("{}\n", json!({"severity": worst, "findings": findings})),
        false => findings.iter().map(paragraph).collect(),
    };
    super::print(&text)?;
    Ok(ExitCode::from(match worst {
        Severity::Fine => 0,
        Severity::Degraded => 1,
        Severity::Fatal => 2,
    }))
}

fn paragraph(finding: &Finding) -> String {
    let mark = match finding.severity {
        Severity::Fine => "ok",
        Severity::Degraded => "degraded",
        Severity::Fatal => "fatal",
    };
    let mut text = format!("{mark:<9}{}: {}\n", finding.check, finding.finding);
    if let Some(consequence) = &finding.consequence {
        text.push_str(&format!("         so {consequence}\n"));
    }
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("         mend: {remedy}\n"));
    }
    text
}
