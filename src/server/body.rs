//! Reads a request's body: within a length, at a pace, in an encoding that is understood, and where there is room for what it asks.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::intake::{Admitted, Busy, Intake, OnRefusal};
use crate::pool;

/// Most members of a body in gzip. Some tools write a few; each takes as long as some kilobytes, and may hold nothing.
const MOST_MEMBERS: usize = 100;

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
    /// There is too much to do.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// Reads bodies within bounds.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    /// Most bytes of a body, as sent and once it is decompressed.
    pub(crate) limit: usize,
    /// How fast it must come.
    pub(crate) pace: BodyPace,
    /// What is taken on.
    pub(crate) intake: Intake,
}

/// A body, and the place in which it is worked on.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    pub(crate) bytes: Vec<u8>,
    pub(crate) place: Arc<Admitted>,
}

impl BodyReader {
    /// Reads the body of a request with these headers and waits for its place. Where there will be none, that is said before the body is
    /// read.
    ///
    /// # Errors
    /// [`BodyError`] when it cannot.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body, refused: OnRefusal) -> Result<ReceivedBody, BodyError> {
        let (limit, pace) = (self.limit, self.pace);
        let compressed = is_compressed(headers)?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
        if length > limit as u64 {
            return Err(BodyError::TooLong(limit));
        }
        self.intake.ask(length, refused)?;
        let mut memory = self.intake.begin();
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
            memory = self.intake.enlarge(memory, bytes.len() as u64)?;
        }
        if compressed {
            // What decompresses to much is about as much work as what is long.
            bytes = pool::unless_small(bytes.len().saturating_mul(16), move || decompressed(&bytes, limit)).await?;
        }
        let place = self.intake.place(memory, bytes.len() as u64, refused).await?;
        Ok(ReceivedBody { bytes, place })
    }
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
    let (mut plain, mut rest) = (Vec::new(), bytes);
    for _ in 0..MOST_MEMBERS {
        let most = limit.saturating_sub(plain.len()) as u64 + 1;
        let mut member = flate2::bufread::GzDecoder::new(&mut rest).take(most);
        let read = member.read_to_end(&mut plain);
        read.map_err(|error| BodyError::Broken(format!("it is not gzip, as its Content-Encoding says: {error}")))?;
        if plain.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        if rest.is_empty() {
            return Ok(plain);
        }
    }
    Err(BodyError::Broken(format!("it is gzip of more than {MOST_MEMBERS} members; send one")))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write as _;

    use axum::body::Bytes;
    use axum::http::HeaderValue;
    use futures::stream;

    use super::*;
    use crate::intake::IntakeLimits;

    fn reader(limit: usize) -> BodyReader {
        BodyReader { limit, pace: BodyPace::default(), intake: Intake::default() }
    }

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
        let reader = &reader(1_000);
        let read = |headers, bytes: Vec<u8>| async move {
            reader.read(&headers, Body::from(bytes), OnRefusal::ComesBack).await.map(|body| body.bytes)
        };
        assert_eq!(read(encoded("gzip"), gzip(b"hello")).await.unwrap(), b"hello");
        assert_eq!(read(encoded("identity"), b"hello".to_vec()).await.unwrap(), b"hello");
        assert_eq!(read(encoded("gzip"), gzip(&[b' '; 100_000])).await, Err(BodyError::TooLong(1_000)));
        let members = |n: usize, each: &[u8]| (0..n).flat_map(|_| gzip(each)).collect::<Vec<u8>>();
        assert_eq!(read(encoded("gzip"), members(3, b"hello")).await.unwrap(), b"hellohellohello");
        assert_eq!(read(encoded("gzip"), members(40, &[b' '; 26])).await, Err(BodyError::TooLong(1_000)));
        let many = read(encoded("gzip"), members(45, b"")).await;
        assert_eq!(many, Ok(Vec::new()));
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
        let reader = reader(1 << 20);
        let read = async |body| reader.read(&HeaderMap::new(), body, OnRefusal::ComesBack).await.map(|body| body.bytes.len());
        let slow = read(every(1, 1_000)).await;
        assert!(matches!(slow, Err(BodyError::Slow { .. })) && began.elapsed() < Duration::from_secs(6), "{slow:?}");
        assert_eq!(read(every(2_048, 20)).await, Ok(40_960));
        let long = read(every(20_480, 40)).await;
        assert!(matches!(long, Err(BodyError::Slow { after, .. }) if after.as_secs() == 30), "{long:?}");
    }

    #[tokio::test]
    async fn where_there_is_no_room_nothing_is_read() {
        let of_limits =
            |seats, memory_bytes| BodyReader { intake: Intake::new(IntakeLimits { seats, queue: 0, memory_bytes }), ..reader(1_000) };
        let untouched = || Body::from_stream(stream::once(async { panic!("the body is read") as Result<Bytes, Infallible> }));
        let of = |length: usize| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        let small = of_limits(9, 8_000);
        let held = small.read(&of(900), Body::from(vec![b' '; 900]), OnRefusal::ComesBack).await.unwrap();
        let busy = small.read(&of(200), untouched(), OnRefusal::ComesBack).await.unwrap_err();
        assert_eq!(busy, BodyError::Busy(Busy::Memory));
        drop(held);
        let reader = of_limits(1, 1 << 20);
        assert_eq!(reader.read(&of(1_001), untouched(), OnRefusal::ComesBack).await.unwrap_err(), BodyError::TooLong(1_000));
        let first = reader.read(&of(5), Body::from("hello"), OnRefusal::ComesBack).await.unwrap();
        let busy = reader.read(&of(5), untouched(), OnRefusal::ComesBack).await.unwrap_err();
        assert_eq!(busy, BodyError::Busy(Busy::Processors));
        drop(first.place);
        assert_eq!(reader.read(&of(5), Body::from("hello"), OnRefusal::ComesBack).await.unwrap().bytes, b"hello");
        // Told of no length, it is refused once there is too much of it.
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 100]))));
        assert_eq!(reader.read(&HeaderMap::new(), endless, OnRefusal::ComesBack).await.unwrap_err(), BodyError::TooLong(1_000));
    }
}
