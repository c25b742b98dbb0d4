//! Bytes of a question to bytes of an answer.

use catalog::View;
use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::{DNSClass, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncoder};

use crate::Zone;
use crate::answer::{Answer, Question, answer};
use crate::bounds::{PLAIN_BYTES_MAX, QUESTION_ADDITIONAL_MAX, QUESTION_BYTES_MAX, UDP_BYTES_MAX};

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the answer is no larger than the asker can take.
    Udp,
    /// In a datagram of somebody who asks too much, or in whose name too much is asked: he is told
    /// to come by TCP, in no more bytes than he sent.
    UdpTooOften,
    /// Over a connection.
    Tcp,
}

/// Answers one message. `out` is the answer without a length in front; `false` if there is none,
/// because what came is no question. Every byte string is one or the other, never a panic.
pub fn respond(
    zone: &Zone,
    view: &View,
    message: &[u8],
    transport: Transport,
    out: &mut Vec<u8>,
) -> bool {
    code(zone, view, message, transport, out).is_some()
}

/// The same; gives the code of the answer.
pub(crate) fn code(
    zone: &Zone,
    view: &View,
    message: &[u8],
    transport: Transport,
    out: &mut Vec<u8>,
) -> Option<ResponseCode> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let asked = match ask(&header, message.len(), &mut decoder) {
        Ok(asked) => asked,
        Err(code) => {
            let none = Asked { query: None, edns: None };
            let is_written = write(&header.metadata, &none, &Answer::refusal(code), transport, out);
            return is_written.then_some(code);
        }
    };
    let query = asked.query.as_ref()?;
    let answer = if asked.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        Answer::refusal(ResponseCode::BADVERS)
    } else if query.query_class() != DNSClass::IN {
        Answer::refusal(ResponseCode::Refused)
    } else if transport == Transport::UdpTooOften {
        Answer { is_authoritative: true, ..Answer::default() }
    } else {
        let (name, kind) = (query.name(), query.query_type());
        answer(zone, view, Question { name, kind, draw: header.metadata.id })
    };
    let is_written = write(&header.metadata, &asked, &answer, transport, out);
    // A name that leads into the header is longer when it is written out.
    let fits = transport != Transport::UdpTooOften || out.len() <= message.len();
    (is_written && fits).then_some(answer.code)
}

/// What a message asks.
struct Asked {
    query: Option<Query>,
    edns: Option<Edns>,
}

fn ask(header: &Header, bytes: usize, decoder: &mut BinDecoder<'_>) -> Result<Asked, ResponseCode> {
    if header.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let counts = &header.counts;
    // Looked at before anything is reserved for them.
    let fits = (counts.queries, counts.answers, counts.authorities) == (1, 0, 0)
        && counts.additionals <= QUESTION_ADDITIONAL_MAX
        && bytes <= QUESTION_BYTES_MAX;
    if !fits {
        return Err(ResponseCode::FormErr);
    }
    let query = Query::read(decoder).map_err(|_| ResponseCode::FormErr)?;
    let count = usize::from(counts.additionals);
    let (_, edns, _) = Message::read_records(decoder, count, true, OpCode::Query)
        .map_err(|_| ResponseCode::FormErr)?;
    Ok(Asked { query: Some(query), edns })
}

/// Writes an answer. What is said besides is left out first if there is no room, and then all of
/// it: half an answer would be taken for a whole one.
fn write(
    request: &Metadata,
    asked: &Asked,
    answer: &Answer,
    transport: Transport,
    out: &mut Vec<u8>,
) -> bool {
    let mut metadata = Metadata::response_from_request(request);
    metadata.authoritative = answer.is_authoritative;
    metadata.response_code = answer.code;
    metadata.truncation = transport == Transport::UdpTooOften;
    let edns = asked.edns.as_ref().map(reply_edns);
    let most = match (transport, &asked.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (_, None) => PLAIN_BYTES_MAX,
        (_, Some(edns)) => edns.max_payload().clamp(PLAIN_BYTES_MAX, UDP_BYTES_MAX),
    };
    let mut attempt = |metadata: &Metadata, records: [&[Record]; 3]| {
        out.clear();
        let mut encoder = BinEncoder::new(out);
        encoder.set_max_size(most);
        let [mut answers, mut authority, mut additional] = records.map(<[Record]>::iter);
        emit_message_parts(
            metadata,
            &mut asked.query.iter(),
            &mut answers,
            &mut authority,
            &mut additional,
            edns.as_ref(),
            None,
            &mut encoder,
        )
        .is_ok_and(|header| header.metadata.truncation == metadata.truncation)
    };
    if attempt(&metadata, [&answer.answers, &answer.authority, &answer.additional])
        || attempt(&metadata, [&answer.answers, &answer.authority, &[]])
    {
        return true;
    }
    metadata.truncation = true;
    attempt(&metadata, [&[], &[], &[]])
}

/// Ours, for theirs.
fn reply_edns(theirs: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX).set_dnssec_ok(theirs.flags().dnssec_ok);
    edns
}
