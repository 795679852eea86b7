//! Which format a file is in.

use std::path::Path;

/// A format that is written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// index.jsonl: everything that is known, one sample a line
    Jsonl,
    /// Parquet: typed columns, probabilities as a list
    Parquet,
    /// CSV with every column
    Csv,
    /// metadata.csv of a Hugging Face audio folder
    #[value(alias = "huggingface")]
    Hf,
    /// A manifest to keep under DVC or git: path, label, kit and hash, ordered by path
    #[value(alias = "dvc")]
    Manifest,
    /// Label Studio's tasks, with predictions
    #[value(alias = "label-studio")]
    Labelstudio,
    /// seen_hashes.txt of the older pipeline
    Hashes,
}

impl Format {
    /// Reads the name of a format that is written, for a command line.
    pub fn written() -> impl clap::builder::TypedValueParser<Value = Self> {
        use clap::ValueEnum as _;
        use clap::builder::{PossibleValuesParser, TypedValueParser as _};
        let written = Self::value_variants().iter().filter(|format| **format != Self::Hashes);
        PossibleValuesParser::new(written.filter_map(clap::ValueEnum::to_possible_value))
            .try_map(|name| Self::from_str(&name, true))
    }

    /// The format that a file's name means; `.gz` after it says nothing.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension)?;
        Some(match (name, extension) {
            ("metadata.csv", _) => Self::Hf,
            ("manifest.csv", _) => Self::Manifest,
            (_, "csv") => Self::Csv,
            (_, "jsonl" | "ndjson") => Self::Jsonl,
            (_, "parquet" | "pq") => Self::Parquet,
            (_, "json") => Self::Labelstudio,
            (_, "txt") => Self::Hashes,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_is() {
        for (name, format) in [
            ("a/index.jsonl.gz", Some(Format::Jsonl)),
            ("INDEX.JSONL", Some(Format::Jsonl)),
            ("x.parquet", Some(Format::Parquet)),
            ("d/metadata.csv", Some(Format::Hf)),
            ("d/my-metadata.csv", Some(Format::Csv)),
            ("manifest.csv", Some(Format::Manifest)),
            ("tasks.json", Some(Format::Labelstudio)),
            ("seen_hashes.txt", Some(Format::Hashes)),
            ("index", None),
            ("x.gz", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
