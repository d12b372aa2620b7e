//! Names of services for the node's pods: each stands for the pods that are ready behind it, since there is no service
//! proxy.

use std::io;
use std::net::Ipv4Addr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The port where resolvers look for names.
const PORT: u16 = 53;
/// The longest question that is read.
const LONGEST: usize = 512;
const HEADER: usize = 12;
const ADDRESS: u16 = 1;
const NO_SUCH_NAME: u8 = 3;

/// A server of names, until it is dropped.
#[derive(Debug)]
pub(super) struct Names(JoinHandle<()>);

impl Names {
    /// Answers at `address`.
    pub(super) async fn serve(address: Ipv4Addr, client: Client) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, PORT)).await?;
        Ok(Self(tokio::spawn(async move {
            let mut packet = [0; LONGEST];
            while let Ok((length, asker)) = socket.recv_from(&mut packet).await {
                let Some(question) = packet.get(..length).and_then(Question::read) else { continue };
                let found = addresses(&client, &question.name).await;
                // Who got no answer asks again.
                let _ = socket.send_to(&question.answer(found.as_deref()), asker).await;
            }
        })))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The pods that are ready behind a service; none if there is no such service.
async fn addresses(client: &Client, name: &str) -> Option<Vec<Ipv4Addr>> {
    let (service, namespace) = name.strip_suffix(".svc.cluster.local")?.split_once('.')?;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = slices.list(&of_service).await.ok()?.items;
    if slices.is_empty() {
        return None;
    }
    let endpoints = slices.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints
        .filter(|one| one.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    Some(ready.flat_map(|one| one.addresses).filter_map(|address| address.parse().ok()).collect())
}

/// What is asked: a packet's number, its question as it came, and the name in it.
#[derive(Debug, PartialEq)]
struct Question {
    number: [u8; 2],
    asked: Vec<u8>,
    name: String,
    kind: u16,
}

impl Question {
    fn read(packet: &[u8]) -> Option<Self> {
        let (&number, mut rest) = (packet.first_chunk::<2>()?, packet.get(HEADER..)?);
        let mut labels = Vec::new();
        loop {
            let (&length, after) = rest.split_first()?;
            if length == 0 {
                rest = after;
                break;
            }
            let (label, after) = after.split_at_checked(usize::from(length))?;
            labels.push(String::from_utf8_lossy(label).to_lowercase());
            rest = after;
        }
        let (kind, rest) = (rest.first_chunk::<2>()?, rest.get(4..)?);
        let asked = packet.get(HEADER..packet.len() - rest.len())?.to_vec();
        Some(Self { number, asked, name: labels.join("."), kind: u16::from_be_bytes(*kind) })
    }

    fn answer(&self, found: Option<&[Ipv4Addr]>) -> Vec<u8> {
        let addresses = if self.kind == ADDRESS { found.unwrap_or_default() } else { &[] };
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let fault = if found.is_none() { NO_SUCH_NAME } else { 0 };
        // An answer, recursion as wished; one question, the addresses.
        let header = [0x81, 0x80 | fault, 0, 1, 0, count, 0, 0, 0, 0];
        let mut packet = [&self.number[..], &header, &self.asked].concat();
        for address in addresses.iter().take(usize::from(count)) {
            // The name of the question, an address of the internet, for one second, of four bytes.
            packet.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            packet.extend(address.octets());
        }
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_answered_in_its_own_words() {
        let mut packet = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(b"\x08Plimsoll\x06system\x03svc\x00\x00\x01\x00\x01");
        let question = Question::read(&packet).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("plimsoll.system.svc", ADDRESS));
        let answer = question.answer(Some(&[Ipv4Addr::new(198, 18, 0, 130)]));
        assert_eq!(&answer[..12], [7, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(&answer[12..packet.len()], &packet[12..]);
        assert_eq!(&answer[answer.len() - 6..], [0, 4, 198, 18, 0, 130]);
        assert_eq!(question.answer(None)[3], 0x83, "no such name");
        for length in 0..packet.len() {
            assert_eq!(Question::read(&packet[..length]), None, "{length} bytes");
        }
    }
}
