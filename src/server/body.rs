//! Reads a request's body: within a length, at a pace, and in an encoding that is understood.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::pool;

/// How fast a body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// Time for the whole of it.
    pub time: Duration,
    /// Time that is given at the start, whatever has come.
    pub patience: Duration,
    /// Least bytes a second after that, on average.
    pub bytes_per_second: u32,
}

impl Default for BodyPace {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), patience: Duration::from_secs(5), bytes_per_second: 1 << 10 }
    }
}

impl BodyPace {
    /// When more than `length` bytes must have come of a body that began then.
    pub(super) fn due(&self, began: Instant, length: usize) -> Instant {
        let earned = Duration::from_secs_f64(length as f64 / f64::from(self.bytes_per_second.max(1)));
        began + self.time.min(self.patience.saturating_add(earned))
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is compressed in a way that is not understood.
    #[error("the body is encoded as `{0}`, and only `gzip` and `identity` are read; send it without Content-Encoding")]
    Encoding(String),
    /// It did not come in time.
    #[error("the body came too slowly: {bytes} bytes in {} s; send at least {} bytes a second, and all of it within {} s", .after.as_secs(), .pace.bytes_per_second, .pace.time.as_secs())]
    Slow {
        /// What had come.
        bytes: usize,
        /// In how long.
        after: Duration,
        /// What was asked for.
        pace: BodyPace,
    },
    /// It is longer than is read.
    #[error("the body is longer than the {0} bytes that are read")]
    TooLong(usize),
    /// The connection broke, or it is not what its encoding says.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Reads the body of a request with these headers, of at most `limit` bytes as sent and once it is decompressed.
///
/// # Errors
/// [`BodyError`] when it cannot.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize, pace: BodyPace) -> Result<Vec<u8>, BodyError> {
    let compressed = is_compressed(headers)?;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let began = Instant::now();
    loop {
        match timeout_at(pace.due(began, bytes.len()), stream.next()).await {
            Err(_) => return Err(BodyError::Slow { bytes: bytes.len(), after: began.elapsed(), pace }),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
            Ok(Some(Ok(chunk))) if bytes.len().saturating_add(chunk.len()) > limit => return Err(BodyError::TooLong(limit)),
            Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
        }
    }
    // What decompresses to much is about as much work as what is long.
    if compressed { pool::unless_small(bytes.len().saturating_mul(16), move || decompressed(&bytes, limit)).await } else { Ok(bytes) }
}

/// Whether the body is compressed by gzip; another encoding than that is refused.
fn is_compressed(headers: &HeaderMap) -> Result<bool, BodyError> {
    let mut compressed = 0;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for word in value.to_str().unwrap_or("(no text)").split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => compressed += 1,
                _ => return Err(BodyError::Encoding(word.chars().take(40).collect())),
            }
        }
    }
    if compressed > 1 { Err(BodyError::Encoding("gzip, gzip".to_owned())) } else { Ok(compressed == 1) }
}

fn decompressed(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = flate2::read::MultiGzDecoder::new(bytes).take(most).read_to_end(&mut plain);
    match read {
        Err(error) => Err(BodyError::Broken(format!("it is not gzip, as its Content-Encoding says: {error}"))),
        Ok(length) if length > limit => Err(BodyError::TooLong(limit)),
        Ok(_) => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write as _;

    use axum::body::Bytes;
    use axum::http::HeaderValue;
    use futures::stream;

    use super::*;

    fn encoded(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(encoding))])
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn gzip_is_read_and_bounded_and_any_other_encoding_refused() {
        let pace = BodyPace::default();
        let read = |headers, bytes: Vec<u8>| async move { read(&headers, Body::from(bytes), 1_000, pace).await };
        assert_eq!(read(encoded("gzip"), gzip(b"hello")).await.unwrap(), b"hello");
        assert_eq!(read(encoded("identity"), b"hello".to_vec()).await.unwrap(), b"hello");
        assert_eq!(read(encoded("gzip"), gzip(&[b' '; 100_000])).await, Err(BodyError::TooLong(1_000)));
        assert!(matches!(read(encoded("gzip"), b"hello".to_vec()).await, Err(BodyError::Broken(_))));
        for other in ["br", "deflate", "zstd", "gzip, br", "gzip, gzip", "compress"] {
            assert!(matches!(read(encoded(other), gzip(b"hello")).await, Err(BodyError::Encoding(_))), "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_given_up_early_and_a_steady_one_is_read() {
        let every = |bytes: usize, n: usize| {
            let chunks = stream::iter(0..n).then(move |_| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))
            });
            Body::from_stream(chunks)
        };
        let began = Instant::now();
        let slow = read(&HeaderMap::new(), every(1, 1_000), 1 << 20, BodyPace::default()).await;
        assert!(matches!(slow, Err(BodyError::Slow { .. })) && began.elapsed() < Duration::from_secs(6), "{slow:?}");
        let steady = read(&HeaderMap::new(), every(2_048, 20), 1 << 20, BodyPace::default()).await;
        assert_eq!(steady.map(|bytes| bytes.len()), Ok(40_960));
        let long = read(&HeaderMap::new(), every(20_480, 40), 1 << 20, BodyPace::default()).await;
        assert!(matches!(long, Err(BodyError::Slow { after, .. }) if after.as_secs() == 30), "{long:?}");
    }
}
