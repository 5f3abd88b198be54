//! Flags about how much of the machine a container may use.

use clap::Args;
use engine::RunRequest;
use model::container::{DeviceLimit, Limits};

use crate::error::CliError;
use crate::specs::limits as specs;

#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Memory, e.g. 512m.
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Memory that is left to the container when there is little.
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Memory and swap together; -1 is without limit.
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// How readily memory is swapped, 0 to 100.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    memory_swappiness: Option<i64>,
    /// Stops processes that lack memory instead of killing one.
    #[arg(long)]
    oom_kill_disable: bool,
    /// Processors, e.g. 1.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Relative weight; 1024 is everybody's.
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds of processor time in a period.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Length of that period.
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Processors that are used, e.g. 0-2,5.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that are used.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Processes and threads; -1 is without limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// The same for one device.
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,
    /// Bytes a second read from a device.
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_read_bps: Vec<String>,
    /// Bytes a second written to a device.
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_write_bps: Vec<String>,
    /// Reads a second from a device.
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_read_iops: Vec<String>,
    /// Writes a second to a device.
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_write_iops: Vec<String>,
    /// Limit of single processes, as setrlimit sets it.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// How readily the kernel kills it for lack of memory, -1000 to 1000.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,
}

impl LimitArgs {
    pub(super) fn apply(&self, request: &mut RunRequest) -> Result<(), CliError> {
        request.limits = self.limits()?;
        specs::check(&request.limits)?;
        for text in &self.ulimit {
            let limit = specs::ulimit(text)?;
            // The last one of a name counts, as with docker.
            request.rlimits.retain(|other| other.name != limit.name);
            request.rlimits.push(limit);
        }
        if self
            .oom_score_adj
            .is_some_and(|n| !(-1000..=1000).contains(&n))
        {
            return Err(CliError::usage("invalid --oom-score-adj")
                .hint("write a number from -1000 to 1000"));
        }
        request.oom_score_adj = self.oom_score_adj;
        Ok(())
    }

    /// Zero is docker's word for nothing.
    fn limits(&self) -> Result<Limits, CliError> {
        let bytes = |flag, text: &Option<String>| {
            let value = text
                .as_deref()
                .map(|text| specs::bytes(flag, text))
                .transpose()?;
            Ok::<_, CliError>(value.filter(|value| *value != 0))
        };
        let set = |flag, text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| specs::set(flag, text)).transpose()
        };
        let devices = |flag, texts: &[String], in_bytes| {
            let read = |text: &String| specs::device_limit(flag, text, in_bytes);
            texts
                .iter()
                .map(read)
                .collect::<Result<Vec<DeviceLimit>, _>>()
        };
        let swap = self.memory_swap.as_deref();
        let swap = swap.map(|text| specs::bytes_or_unlimited("--memory-swap", text));
        let swappiness = match self.memory_swappiness {
            // Docker's and podman's word for nothing.
            None | Some(-1) => None,
            Some(number) => Some(u32::try_from(number).unwrap_or(u32::MAX)),
        };
        Ok(Limits {
            memory: bytes("--memory", &self.memory)?,
            memory_reservation: bytes("--memory-reservation", &self.memory_reservation)?,
            memory_swap: swap.transpose()?.filter(|swap| *swap != 0),
            memory_swappiness: swappiness,
            oom_kill_disable: self.oom_kill_disable,
            nano_cpus: self
                .cpus
                .as_deref()
                .filter(|t| *t != "0")
                .map(specs::cpus)
                .transpose()?,
            cpu_shares: self.cpu_shares.filter(|shares| *shares != 0),
            cpu_quota: self.cpu_quota.filter(|quota| *quota != 0),
            cpu_period: self.cpu_period.filter(|period| *period != 0),
            cpuset_cpus: set("--cpuset-cpus", &self.cpuset_cpus)?,
            cpuset_mems: set("--cpuset-mems", &self.cpuset_mems)?,
            pids: self
                .pids_limit
                .map(|pids| if pids <= 0 { -1 } else { pids }),
            blkio_weight: self.blkio_weight.filter(|weight| *weight != 0),
            blkio_weight_device: devices(
                "--blkio-weight-device",
                &self.blkio_weight_device,
                false,
            )?,
            device_read_bps: devices("--device-read-bps", &self.device_read_bps, true)?,
            device_write_bps: devices("--device-write-bps", &self.device_write_bps, true)?,
            device_read_iops: devices("--device-read-iops", &self.device_read_iops, false)?,
            device_write_iops: devices("--device-write-iops", &self.device_write_iops, false)?,
            ..Limits::default()
        })
    }
}
