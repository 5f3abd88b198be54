//! The few DNS messages that we answer ourselves. Wire format only, no sockets.

use std::net::Ipv4Addr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::StaticCompressor;
use domain::base::name::ToLabelIter;
use domain::base::{Message, MessageBuilder, Name, ToName, Ttl};
use domain::rdata::{A, Ptr};

/// How long an answer of ours may be kept: containers come and go, so not at all.
const TTL: Ttl = Ttl::ZERO;

/// Bytes of a message before its question.
const HEADER: usize = 12;
/// Bytes of a question behind its name.
const TYPE_AND_CLASS: usize = 4;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The IPv4 addresses of a name (lower case, no final dot).
    Address(String),
    /// Anything else about a name that may be ours.
    Other(String),
    /// The name of an IPv4 address.
    Name(Ipv4Addr),
    /// Nothing that we could answer.
    Foreign,
}

/// What we say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses; none at all means that the name exists without any.
    Addresses(Vec<Ipv4Addr>),
    /// This name.
    Name(String),
    /// There is no such name.
    NoSuchName,
    /// The servers outside could not be asked.
    Failure,
}

/// Reads a query. `None` is what deserves no answer at all: no DNS message, or a response.
pub fn parse_query(packet: &[u8]) -> Option<Query> {
    let message = Message::from_slice(packet).ok()?;
    if message.header().qr() {
        return None;
    }
    if message.header().opcode() != Opcode::QUERY {
        return Some(Query::Foreign);
    }
    let Ok(question) = message.sole_question() else {
        return Some(Query::Foreign);
    };
    if question.qclass() != Class::IN {
        return Some(Query::Foreign);
    }
    let name = question.qname().fmt_with_dot().to_string();
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    Some(match question.qtype() {
        Rtype::A => Query::Address(name),
        Rtype::PTR => reverse(&name).map_or(Query::Other(name), Query::Name),
        _ => Query::Other(name),
    })
}

/// The response to `packet`, at most `limit` bytes; `None` when `packet` is no query.
///
/// Addresses that do not fit are left out and the response is marked as cut, so that the
/// asker comes back by TCP.
pub fn respond(packet: &[u8], answer: &Answer, limit: usize) -> Option<Vec<u8>> {
    let query = Message::from_slice(packet).ok()?;
    // A name that leads back into the header would be many times as long when it is written
    // out: no resolver asks so, and whoever forges one is to get no more than they sent.
    let question = query.sole_question().ok();
    let question = question.filter(|question| {
        let written_out = HEADER + usize::from(question.qname().compose_len()) + TYPE_AND_CLASS;
        written_out <= packet.len()
    });
    let rcode = match answer {
        Answer::NoSuchName => Rcode::NXDOMAIN,
        Answer::Failure => Rcode::SERVFAIL,
        Answer::Addresses(_) | Answer::Name(_) => Rcode::NOERROR,
    };
    // The question's name need not be repeated with each address.
    let target = StaticCompressor::new(Vec::new());
    let mut builder = MessageBuilder::from_target(target).expect("a vector has room");
    builder.set_push_limit(limit);
    let header = builder.header_mut();
    header.set_id(query.header().id());
    header.set_qr(true);
    header.set_opcode(query.header().opcode());
    header.set_rd(query.header().rd());
    header.set_rcode(rcode);
    header.set_ra(true);
    header.set_aa(matches!(answer, Answer::Addresses(_) | Answer::Name(_)));
    let mut builder = builder.question();
    let Some(question) = question else {
        return Some(builder.finish().into_target());
    };
    builder.push(question).ok()?;
    let mut builder = builder.answer();
    let owner = question.qname().to_name::<Vec<u8>>();
    match answer {
        Answer::Addresses(addresses) => {
            for address in addresses {
                let record = (&owner, Class::IN, TTL, A::new(*address));
                if builder.push(record).is_err() {
                    builder.header_mut().set_tc(true);
                    break;
                }
            }
        }
        Answer::Name(name) => {
            let target: Name<Vec<u8>> = name.parse().ok()?;
            let record = (&owner, Class::IN, TTL, Ptr::new(target));
            if builder.push(record).is_err() {
                builder.header_mut().set_tc(true);
            }
        }
        Answer::NoSuchName | Answer::Failure => {}
    }
    Some(builder.finish().into_target())
}

/// Does a packet answer this query? What does not was not sent by the server that was asked.
pub(crate) fn is_answer_to(packet: &[u8], query: &[u8]) -> bool {
    let (Ok(answer), Ok(query)) = (Message::from_slice(packet), Message::from_slice(query)) else {
        return false;
    };
    let header = answer.header();
    // Some servers leave the question out of a refusal.
    let same = match (answer.first_question(), query.first_question()) {
        (Some(a), Some(b)) => a.qname() == b.qname() && a.qtype() == b.qtype(),
        (None, _) => header.rcode() != Rcode::NOERROR,
        (Some(_), None) => false,
    };
    header.qr() && header.id() == query.header().id() && same
}

/// The address in `4.3.2.1.in-addr.arpa`.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let mut parts = name.strip_suffix(".in-addr.arpa")?.split('.');
    let mut octets = [0; 4];
    for octet in octets.iter_mut().rev() {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(name: &str, kind: Rtype) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec().question();
        builder.header_mut().set_id(7);
        let name: Name<Vec<u8>> = name.parse().unwrap();
        builder.push((&name, kind)).unwrap();
        builder.finish()
    }

    fn addresses(response: &[u8]) -> Vec<Ipv4Addr> {
        let message = Message::from_slice(response).unwrap();
        let answer = message.answer().unwrap().limit_to::<A>();
        answer.map(|record| record.unwrap().data().addr()).collect()
    }

    #[test]
    fn questions_are_understood() {
        assert_eq!(
            parse_query(&query("Db.", Rtype::A)),
            Some(Query::Address("db".to_owned()))
        );
        assert_eq!(
            parse_query(&query("db", Rtype::AAAA)),
            Some(Query::Other("db".to_owned()))
        );
        let reverse = query("7.0.89.10.in-addr.arpa", Rtype::PTR);
        assert_eq!(
            parse_query(&reverse),
            Some(Query::Name(Ipv4Addr::new(10, 89, 0, 7)))
        );
        let odd = "x.7.0.89.10.in-addr.arpa";
        assert_eq!(
            parse_query(&query(odd, Rtype::PTR)),
            Some(Query::Other(odd.to_owned()))
        );
        assert_eq!(parse_query(b"short"), None);
    }

    #[test]
    fn a_response_is_no_query_but_an_answer_to_one() {
        let asked = query("db", Rtype::A);
        let response = respond(&asked, &Answer::Addresses(vec![]), 512).unwrap();
        assert_eq!(parse_query(&response), None);
        assert!(is_answer_to(&response, &asked));
        assert!(!is_answer_to(&response, &query("dc", Rtype::A)));
        assert!(!is_answer_to(&asked, &asked));
    }

    /// Found by the fuzzer: the name leads into the header and is written out in full.
    #[test]
    fn a_name_made_of_the_header_gets_no_more_than_it_sent() {
        let packet = [
            1, 226, 1, 226, 0, 1, 226, 226, 192, 1, 0, 0, 192, 3, 0, 1, 0, 1,
        ];
        for packet in [
            &packet[..],
            &[0, 7, 1, 97, 0, 1, 0, 0, 0, 0, 0, 0, 192, 2, 0, 1, 0, 1],
        ] {
            let response = respond(packet, &Answer::Failure, 512).unwrap();
            assert!(response.len() <= packet.len(), "{response:?}");
            assert_eq!(parse_query(&response), None);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_marked() {
        let asked = query("web", Rtype::A);
        let many: Vec<_> = (0..100).map(|n| Ipv4Addr::new(10, 89, 0, n)).collect();
        let cut = respond(&asked, &Answer::Addresses(many.clone()), 512).unwrap();
        assert!(cut.len() <= 512 && Message::from_slice(&cut).unwrap().header().tc());
        let whole = respond(&asked, &Answer::Addresses(many.clone()), 65_535).unwrap();
        assert_eq!(addresses(&whole), many);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_query(&bytes);
            let _ = is_answer_to(&bytes, &bytes);
            for answer in [Answer::Failure, Answer::Addresses(vec![Ipv4Addr::LOCALHOST])] {
                if let Some(response) = respond(&bytes, &answer, 512) {
                    prop_assert!(response.len() <= 512);
                    prop_assert!(answer != Answer::Failure || response.len() <= bytes.len());
                }
            }
        }

        #[test]
        fn addresses_come_back_as_they_went_in(
            name in "[a-z0-9-]{1,63}(\\.[a-z]{1,20}){0,3}",
            raw in proptest::collection::vec(any::<u32>(), 0..20),
        ) {
            let asked = query(&name, Rtype::A);
            prop_assert_eq!(parse_query(&asked), Some(Query::Address(name)));
            let given: Vec<_> = raw.into_iter().map(Ipv4Addr::from).collect();
            let response = respond(&asked, &Answer::Addresses(given.clone()), 512).unwrap();
            prop_assert_eq!(addresses(&response), given);
        }
    }
}
