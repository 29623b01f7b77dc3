use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream;
use http_body_util::StreamBody;

use super::*;

#[test]
fn a_list_is_told_by_its_limit() {
    let list = |method: Method, uri: &str| {
        let mut request = Request::new(Body::empty());
        (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().expect("a URI"));
        ListRequest::of(&request)
    };
    let of = |uri: &str| list(Method::GET, uri);
    let first = of("/apis/g/v1/things?&limit=500").expect("a list");
    assert_eq!(
        (first.limit, first.is_continued, first.with_limit(7).expect("a URI").to_string().as_str()),
        (500, false, "/apis/g/v1/things?limit=7")
    );
    let next = of("/apis/g/v1/things?limit=500&continue=abc%3D&resourceVersionMatch=x").expect("a list");
    assert!(next.is_continued);
    assert_eq!(
        next.with_limit(3).expect("a URI").to_string(),
        "/apis/g/v1/things?continue=abc%3D&resourceVersionMatch=x&limit=3"
    );
    assert_eq!(of("/apis/g/v1/things?watch=true&limit=5"), None);
    assert_eq!(of("/apis/g/v1/things/one"), None);
    assert_eq!(of("/apis/g/v1/things?limit=0"), None);
    assert_eq!(list(Method::DELETE, "/apis/g/v1/things?limit=5"), None);
}

#[test]
fn the_next_page_is_as_large_as_fits() {
    for (limit, bytes, expected) in [
        (16, 16 * 3_000, 64),
        (256, 256 * 3_000, 349),
        (500, 500 * 3_000, 349),
        (16, 16 * 100_000, 10),
        (1, 1_500_000, 1),
        (1, 3_000, 4),
        (4, 0, 16),
    ] {
        assert_eq!(next_limit(limit, bytes), expected, "{limit} objects of {bytes} bytes");
    }
}

/// Server of a list of objects of these sizes, which records its requests and the number of bytes that were read.
#[derive(Default)]
struct Served {
    requests: Mutex<Vec<(usize, usize)>>,
    bytes: AtomicUsize,
}

fn server(sizes: Vec<usize>) -> (Client, Arc<Served>) {
    let served = Arc::new(Served::default());
    let told = served.clone();
    let service = service_fn(move |request: Request<Body>| {
        let query: HashMap<&str, usize> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                Some((key, value.parse().ok()?))
            })
            .collect();
        let (from, limit) =
            (query.get("continue").copied().unwrap_or(0), query.get("limit").copied().unwrap_or(usize::MAX));
        told.requests.lock().push((from, limit));
        let page: Vec<usize> = sizes.iter().skip(from).take(limit).copied().collect();
        let next = from + page.len();
        let next = if next < sizes.len() { format!(r#","continue":"{next}""#) } else { String::new() };
        let head = format!(
            r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"1"{next}}},"items":["#
        );
        let items = page.into_iter().enumerate().flat_map(|(number, size)| {
            let comma = if number == 0 { "" } else { "," };
            let object =
                format!("{comma}{{\"metadata\":{{\"name\":\"n\"}},\"data\":\"{}\"}}", "x".repeat(size));
            object.into_bytes().chunks(16_384).map(Bytes::copy_from_slice).collect::<Vec<_>>()
        });
        let chunks: Vec<Bytes> =
            std::iter::once(Bytes::from(head)).chain(items).chain([Bytes::from("]}")]).collect();
        let told = told.clone();
        let body = stream::iter(chunks).map(move |chunk| {
            told.bytes.fetch_add(chunk.len(), Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Frame::data(chunk))
        });
        std::future::ready(Ok::<_, BoxError>(Response::new(StreamBody::new(body))))
    });
    (Client::new(service, "default"), served)
}

async fn list_all(client: &Client) -> usize {
    let (mut count, mut next) = (0, None);
    loop {
        let query = next.map_or_else(String::new, |next: String| format!("&continue={next}"));
        let request =
            Request::get(format!("/apis/g/v1/things?limit=500{query}")).body(Vec::new()).expect("a request");
        let text = client.request_text(request).await.expect("a page");
        let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        count += page["items"].as_array().map_or(0, Vec::len);
        next = page["metadata"]["continue"].as_str().map(str::to_owned);
        if next.is_none() {
            return count;
        }
    }
}

#[tokio::test]
async fn a_list_of_large_objects_is_read_in_small_pages_and_to_its_end() {
    let (client, served) = server(vec![1_000_000; 20]);
    assert_eq!(list_all(&bounded_replies(client, "default".into())).await, 20);
    let requests = served.requests.lock().clone();
    assert_eq!(requests[..4], [(0, 16), (0, 4), (0, 1), (1, 1)]);
    assert!(served.bytes.load(Ordering::Relaxed) < 20_000_000 + 3 * LONGEST_PAGE, "what was given up");
}

#[tokio::test]
async fn a_list_of_small_objects_takes_few_pages() {
    let (client, served) = server(vec![3_000; 10_000]);
    assert_eq!(list_all(&bounded_replies(client, "default".into())).await, 10_000);
    let requests = served.requests.lock().len();
    assert!(requests <= 33, "{requests} requests");
}

#[tokio::test]
async fn an_object_that_is_larger_than_a_page_is_listed() {
    let (client, _) = server(vec![10, 3 * LONGEST_PAGE, 10]);
    assert_eq!(list_all(&bounded_replies(client, "default".into())).await, 3);
}

#[tokio::test]
async fn few_large_replies_are_read_at_a_time_and_small_ones_do_not_wait_for_them() {
    let permits = Arc::new(Semaphore::new(1));
    let body = |size: usize| Reply::gated(Body::from(vec![0; size]), permits.clone());
    let (mut first, mut second) = (body(FREE_BYTES + 1), body(FREE_BYTES + 1));
    assert!(first.frame().await.is_some() && second.frame().await.is_some());
    assert!(first.frame().await.is_none(), "it ends under its permit");
    let waits = tokio::time::timeout(Duration::from_millis(50), second.frame()).await;
    assert!(waits.is_err(), "the permit is taken");
    let mut small = body(FREE_BYTES);
    assert!(small.frame().await.is_some() && small.frame().await.is_none());
    drop(first);
    assert!(second.frame().await.is_none());
}
