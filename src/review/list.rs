//! A list of samples: one path a line, or CSV or JSONL with a path in each line.

use serde::Deserialize;
use thiserror::Error;

/// A list that can't be read.
#[derive(Debug, Error)]
pub enum ListError {
    /// A line is no CSV.
    #[error("the list is no CSV: {0}")]
    Csv(#[from] csv::Error),
    /// A line is no JSON object with a path.
    #[error("line {line} has no path: {source}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Columns that name the sample, the first that is there.
const COLUMNS: [&str; 2] = ["path", "relative_path"];

#[derive(Deserialize)]
struct Named {
    #[serde(alias = "relative_path")]
    path: String,
}

/// The paths of a list. A first line with a column `path` or `relative_path` makes it CSV, lines that begin with a brace
/// JSONL; else each line is a path.
///
/// # Errors
/// [`ListError`].
pub fn paths(text: &[u8]) -> Result<Vec<Vec<u8>>, ListError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = || text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines().find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    if first.trim_ascii_start().starts_with(b"{") {
        let parse = |(line, text): (usize, &[u8])| {
            let named: Result<Named, _> = serde_json::from_slice(text);
            named.map(|named| named.path.into_bytes()).map_err(|source| ListError::Json { line, source })
        };
        return (1..).zip(lines()).filter(|(_, line)| !line.trim_ascii().is_empty()).map(parse).collect();
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).flexible(true).from_reader(text);
    let headers = reader.byte_headers()?.clone();
    let named = |name: &&str| headers.iter().position(|header| header.eq_ignore_ascii_case(name.as_bytes()));
    let Some(column) = COLUMNS.iter().find_map(named) else {
        return Ok(lines().filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect());
    };
    let path = |record: Result<csv::ByteRecord, csv::Error>| -> Result<Vec<u8>, ListError> {
        Ok(record?.get(column).unwrap_or_default().to_vec())
    };
    let paths: Result<Vec<Vec<u8>>, ListError> = reader.byte_records().map(path).collect();
    Ok(paths?.into_iter().filter(|path| !path.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        paths(text.as_bytes()).unwrap().into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn lines_csv_and_json_are_told_apart() {
        assert_eq!(read("a/b, c.wav\r\n\nd.wav"), ["a/b, c.wav", "d.wav"]);
        assert_eq!(read("rank, Path ,x\n1,\"a/b, c.wav\",y\n2,d.wav,\n"), ["a/b, c.wav", "d.wav"]);
        assert_eq!(
            read("{\"relative_path\": \"a.wav\", \"probs\": []}\n\n{\"path\": \"b.wav\"}\n"),
            ["a.wav", "b.wav"]
        );
        assert_eq!(read(""), [""; 0]);
        assert!(paths(b"{\"path\": \"a\"}\n{\"hash\": 1}").unwrap_err().to_string().starts_with("line 2 has no path"));
    }
}
