//! Why the store could not do something.

use std::path::PathBuf;

use model::Digest;

/// Result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The store was written by another version of this program.
    #[error("the store in {root} has layout version {found}, this program needs {wanted}")]
    Format {
        /// The store.
        root: PathBuf,
        /// What its `format` file says.
        found: String,
        /// What we read and write.
        wanted: u32,
    },
    /// A record that cannot be read as what it should be.
    #[error("{} is damaged", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record written by a later version of this program.
    #[error("{} has version {found}, this program reads up to {known}", path.display())]
    RecordVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that we know.
        known: u32,
    },
    /// Bytes that do not have the digest they were announced with.
    #[error("{what} has digest {actual}, not {expected} as announced")]
    Digest {
        /// What was read, e.g. `layer` or `uncompressed layer`.
        what: &'static str,
        /// Announced.
        expected: Digest,
        /// Computed.
        actual: Digest,
    },
    /// Bytes that do not have the length they were announced with.
    #[error("{what} {digest} has {actual} bytes, not {expected} as announced")]
    Size {
        /// What was read.
        what: &'static str,
        /// Its announced digest.
        digest: Digest,
        /// Announced.
        expected: u64,
        /// Counted; at least this many.
        actual: u64,
    },
    /// A document larger than any honest one.
    #[error("{what} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What.
        what: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A layer of more entries than any honest one.
    #[error("layer has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// A source of bytes failed.
    #[error("cannot read {what}")]
    Read {
        /// What was read.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A sink of bytes failed.
    #[error("cannot write {what}")]
    Write {
        /// What was written.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A layer's entry that we do not unpack.
    #[error("entry `{entry}` is refused: {reason}")]
    Entry {
        /// Its path in the tar.
        entry: String,
        /// Why.
        reason: String,
    },
    /// Bytes that are absent from the store.
    #[error("blob {0} is not in the store")]
    NoBlob(Digest),
    /// A layer that is absent from the store.
    #[error("layer {0} is not in the store")]
    NoLayer(Digest),
    /// No image of this name or id.
    #[error("no such image: {0}")]
    NoImage(String),
    /// An image that cannot be used.
    #[error("image {image} is not usable: {reason}")]
    BadImage {
        /// Reference or id.
        image: String,
        /// Why.
        reason: String,
    },
    /// A prefix that several objects share.
    #[error("{kind} id `{prefix}` is ambiguous: {}", matches.join(", "))]
    Ambiguous {
        /// `image`, `container`, …
        kind: &'static str,
        /// What was asked for.
        prefix: String,
        /// Short ids that fit.
        matches: Vec<String>,
    },
    /// An image has several names, so its id alone does not say which to remove.
    #[error("image {id} is named {}", references.join(", "))]
    SeveralReferences {
        /// Short id.
        id: String,
        /// Its names.
        references: Vec<String>,
    },
    /// Something that another object needs.
    #[error("{what} is in use by {by}")]
    InUse {
        /// What was to be removed.
        what: String,
        /// Who needs it.
        by: String,
    },
    /// An image whose documents cannot be read.
    #[error("image {} is damaged", id.short())]
    DamagedImage {
        /// Its id.
        id: Digest,
        /// What is wrong.
        #[source]
        source: Box<Self>,
    },
    /// No container of this name or id.
    #[error("no such container: {0}")]
    NoContainer(String),
    /// A container name that is taken.
    #[error("the container name `{name}` is in use by container {holder}")]
    NameTaken {
        /// The name.
        name: String,
        /// Short id of its holder.
        holder: String,
    },
    /// A text that is no name.
    #[error("`{name}` is not a valid {kind} name (want [a-zA-Z0-9][a-zA-Z0-9_.-]*)")]
    BadName {
        /// `container`, `volume`, `network` or `project`.
        kind: &'static str,
        /// The text.
        name: String,
    },
    /// No volume of this name.
    #[error("no such volume: {0}")]
    NoVolume(String),
    /// No network of this name.
    #[error("no such network: {0}")]
    NoNetwork(String),
    /// A network of this name exists with other settings.
    #[error("network {name} already exists")]
    NetworkExists {
        /// Its name.
        name: String,
    },
    /// A subnet that is taken.
    #[error("subnet {subnet} of network {name} overlaps with {with}")]
    SubnetTaken {
        /// The network to be made.
        name: String,
        /// What was asked for.
        subnet: String,
        /// Who has it.
        with: String,
    },
    /// Every subnet of the pool is taken.
    #[error("no free subnet for network {0}")]
    NoSubnet(String),
    /// An archive that is neither docker's nor OCI's.
    #[error("not an image archive: {0}")]
    Archive(String),
}

impl Error {
    /// Whether it is one object's record that is at fault, not the store.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Record { .. } | Self::RecordVersion { .. } | Self::DamagedImage { .. }
        )
    }

    /// What the user can do, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Record { path, .. } => return mending(path),
            Self::RecordVersion { .. } => "use the program that wrote it".into(),
            Self::DamagedImage { id, .. } => {
                format!(
                    "remove it with `shim rmi -f {}`, and pull or build it again",
                    id.short()
                )
            }
            Self::Format { .. } => "use the program that made it, or another --root".into(),
            Self::NameTaken { name, .. } => {
                format!("remove it with `shim rm {name}`, or choose another name")
            }
            Self::SeveralReferences { references, .. } => {
                format!("name one, e.g. `shim rmi {}`, or use -f", references[0])
            }
            Self::NoImage(_) => "`shim images` lists those in the store".into(),
            Self::NoNetwork(name) => format!("make it with `shim network create {name}`"),
            Self::NoContainer(_) => "`shim ps -a` lists those in the store".into(),
            Self::InUse { .. } => "remove first what uses it".into(),
            Self::Ambiguous { .. } => "give more digits".into(),
            Self::NoSubnet(_) => "remove unused networks with `shim network prune`".into(),
            Self::Digest { .. } | Self::Size { .. } => {
                "the source is damaged or was tampered with; nothing of it was kept".into()
            }
            Self::Sys(error) if error.errno() == Some(rustix::io::Errno::NOSPC) => {
                "free some space, or use `shim system prune`".into()
            }
            _ => return None,
        })
    }
}

/// How to get rid of a damaged record, by where it is.
fn mending(path: &std::path::Path) -> Option<String> {
    let mut above = path.ancestors().skip(1);
    let (parent, grand) = (above.next()?, above.next()?);
    let name = |path: &std::path::Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let (parent, grand) = (name(parent)?, name(grand)?);
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    Some(match (grand.as_str(), parent.as_str()) {
        ("containers", id) => {
            let short: String = id.chars().take(12).collect();
            format!("remove the container with `shim rm -f {short}`")
        }
        ("volumes", volume) => {
            format!(
                "`shim volume create {volume}` records the volume anew; its files are untouched"
            )
        }
        (_, "networks") => format!("remove the network with `shim network rm {stem}`"),
        ("images", "ids") => {
            let short: String = stem.chars().take(12).collect();
            format!("remove the image with `shim rmi -f {short}`, and pull or build it again")
        }
        ("images", _) => format!("remove {}, and pull or tag the image again", path.display()),
        ("projects", _) => "the next `shim up` of the project writes it anew".into(),
        _ => format!("remove {}", path.display()),
    })
}
