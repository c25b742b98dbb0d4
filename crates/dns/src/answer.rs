//! The answer to one question, as a function of zone and snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use catalog::{Instance, Service, View};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::name::{CNAME, NS, PTR};
use hickory_proto::rr::rdata::{HINFO, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Zone;
use crate::bounds::{ALIASES_MAX, RECORD_BYTES, RECORDS_MAX, TEXT_ANSWER_BYTES_MAX};
use crate::names::Subject;
use crate::records::{Owner, alias, choose, port, target, texts};
use crate::zone::server;

/// How often a secondary would ask, which there are none of, in seconds.
const REFRESH: i32 = 3600;
const RETRY: i32 = 600;
const EXPIRE: i32 = 86_400;

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) name: &'a Name,
    pub(crate) kind: RecordType,
    /// Differs from one to the next: who comes first among equals goes by it.
    pub(crate) draw: u16,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) is_authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
}

impl Answer {
    /// Nothing but a code, about what is not ours.
    pub(crate) fn refusal(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

/// Answers a question of class IN.
pub(crate) fn answer(zone: &Zone, view: &View, question: Question<'_>) -> Answer {
    let transfer = matches!(question.kind, RecordType::AXFR | RecordType::IXFR);
    let subject = Subject::of(question.name, zone, view);
    if transfer || matches!(subject, Subject::Outside) {
        return Answer::refusal(ResponseCode::Refused);
    }
    let code = match subject {
        Subject::Unknown => ResponseCode::NXDomain,
        _ => ResponseCode::NoError,
    };
    let mut answer = Answer { code, is_authoritative: true, ..Answer::default() };
    let owner = Owner { name: question.name, ttl: zone.ttl };
    let asked = Asked { zone, view, owner, question };
    match subject {
        Subject::Unknown | Subject::Nothing | Subject::Outside => {}
        // RFC 8482: whoever asks for anything gets something.
        _ if question.kind == RecordType::ANY => {
            let data = HINFO::new("RFC8482".to_owned(), String::new());
            answer.answers.push(owner.record(RData::HINFO(data)));
        }
        Subject::Apex => asked.apex(&mut answer),
        Subject::Server => asked.addresses(owner, &zone.addresses, &mut answer),
        Subject::Address(address) => asked.addresses(owner, &[address], &mut answer),
        Subject::Holders(holders) => {
            let names = holders.iter().filter_map(|holder| {
                let full = zone.below(&format!("{}.{}", holder.instance, holder.service));
                full.or_else(|| zone.below(holder.service.as_str()))
            });
            let records = names.map(|name| owner.record(RData::PTR(PTR(name))));
            if question.kind == RecordType::PTR {
                answer.answers.extend(records);
            }
        }
        Subject::Instances(service, instances) => asked.instances(service, instances, &mut answer),
        Subject::Ports(service, instances, protocol) => {
            if question.kind == RecordType::SRV {
                asked.ports(service, instances, protocol.as_deref(), &mut answer);
            }
        }
    }
    // An alias whose name is ours, and which has nothing of the kind, is denied like one that was
    // asked for itself (RFC 2308, 2.2).
    if answer.answers.is_empty() || asked.ends_here(&answer) {
        let kept = zone.ttl.min(zone.negative_ttl);
        answer.authority.push(Record::from_rdata(zone.name.clone(), kept, soa(zone, view)));
    }
    answer
}

/// A question, and what it is answered from.
struct Asked<'a> {
    zone: &'a Zone,
    view: &'a View,
    owner: Owner<'a>,
    question: Question<'a>,
}

impl Asked<'_> {
    fn apex(&self, answer: &mut Answer) {
        match self.question.kind {
            RecordType::SOA => answer.answers.push(self.owner.record(soa(self.zone, self.view))),
            RecordType::NS => {
                let server = server(self.zone, self.view);
                let at = Owner { name: &server, ttl: self.zone.ttl };
                let addresses = self.zone.addresses.iter();
                answer.additional.extend(addresses.map(|address| at.address(*address)));
                answer.answers.push(self.owner.record(RData::NS(NS(server))));
            }
            RecordType::A | RecordType::AAAA => self.apex_addresses(self.owner, answer),
            _ => {}
        }
    }

    /// Those of its server, if that has no other name.
    fn apex_addresses(&self, owner: Owner<'_>, answer: &mut Answer) {
        if server(self.zone, self.view) == self.zone.name {
            self.addresses(owner, &self.zone.addresses, answer);
        }
    }

    fn addresses(&self, owner: Owner<'_>, addresses: &[IpAddr], answer: &mut Answer) {
        for address in addresses {
            let kind = match address {
                IpAddr::V4(_) => RecordType::A,
                IpAddr::V6(_) => RecordType::AAAA,
            };
            if kind == self.question.kind {
                push_new(&mut answer.answers, owner.address(*address));
            }
        }
    }

    fn instances(&self, service: &Service, instances: &[Arc<Instance>], answer: &mut Answer) {
        match self.question.kind {
            RecordType::A | RecordType::AAAA | RecordType::CNAME => {
                let name = self.hosts(self.owner, (service, instances), answer);
                self.follow(name, answer);
            }
            RecordType::SRV => self.ports(service, instances, None, answer),
            RecordType::TXT => {
                let mut room = TEXT_ANSWER_BYTES_MAX;
                for instance in instances.iter().take(RECORDS_MAX) {
                    let (data, bytes) = texts(instance);
                    let Some(left) = room.checked_sub(RECORD_BYTES + bytes) else { break };
                    room = left;
                    answer.answers.push(self.owner.record(data));
                }
            }
            _ => {}
        }
    }

    /// The addresses of the best endpoints; if they have none, the name one of them is at.
    fn hosts(
        &self,
        owner: Owner<'_>,
        (service, instances): (&Service, &[Arc<Instance>]),
        answer: &mut Answer,
    ) -> Option<Name> {
        let mut chosen = choose((service, instances), self.question.draw, |_| true);
        // Addresses have no priority: those that are away are for SRV to tell.
        let best = chosen.first().map(|first| first.standing);
        chosen.retain(|chosen| Some(chosen.standing) == best);
        let ips: Vec<_> = chosen.iter().filter_map(|chosen| chosen.host.ip()).collect();
        self.addresses(owner, &ips, answer);
        if !ips.is_empty() {
            return None;
        }
        let mut names = chosen.iter().filter_map(|chosen| alias(self.zone, self.view, chosen));
        names.find(|name| name != owner.name)
    }

    /// What leads from the name asked for to addresses, as far as the names are ours (RFC 1034,
    /// 4.3.2, 3a).
    fn follow(&self, mut next: Option<Name>, answer: &mut Answer) {
        let mut names = vec![self.question.name.clone()];
        while let Some(name) = next.take() {
            if names.contains(&name) || names.len() > ALIASES_MAX {
                return;
            }
            let from = names.last().unwrap_or(self.question.name);
            let from = Owner { name: from, ttl: self.zone.ttl };
            answer.answers.push(from.record(RData::CNAME(CNAME(name.clone()))));
            if self.question.kind == RecordType::CNAME {
                return;
            }
            let owner = Owner { name: &name, ttl: self.zone.ttl };
            match Subject::of(&name, self.zone, self.view) {
                Subject::Instances(service, instances) => {
                    next = self.hosts(owner, (service, instances), answer);
                }
                Subject::Address(address) => self.addresses(owner, &[address], answer),
                Subject::Server => self.addresses(owner, &self.zone.addresses, answer),
                Subject::Apex => self.apex_addresses(owner, answer),
                // RFC 6604, 3: the code is about the last name.
                Subject::Unknown => answer.code = ResponseCode::NXDomain,
                Subject::Ports(..) | Subject::Holders(_) | Subject::Nothing | Subject::Outside => {}
            }
            names.push(name);
        }
    }

    /// Whether an answer is an alias, and nothing, of a name that is ours to deny.
    fn ends_here(&self, answer: &Answer) -> bool {
        let Some(RData::CNAME(last)) = answer.answers.last().map(|record| &record.data) else {
            return false;
        };
        self.question.kind != RecordType::CNAME
            && !matches!(Subject::of(&last.0, self.zone, self.view), Subject::Outside)
    }

    fn ports(
        &self,
        service: &Service,
        instances: &[Arc<Instance>],
        protocol: Option<&str>,
        answer: &mut Answer,
    ) {
        let draw = self.question.draw;
        let chosen = choose((service, instances), draw, |endpoint| {
            protocol.is_none_or(|name| endpoint.protocol.as_str().eq_ignore_ascii_case(name))
        });
        for chosen in &chosen {
            let Some(target) = target(self.zone, self.view, service, chosen) else { continue };
            if let Some(address) = chosen.host.ip() {
                let at = Owner { name: &target, ttl: self.zone.ttl };
                push_new(&mut answer.additional, at.address(address));
            }
            push_new(&mut answer.answers, self.owner.record(port(chosen, target)));
        }
    }
}

/// Two endpoints at one address are one record; there are at most [`RECORDS_MAX`].
fn push_new(records: &mut Vec<Record>, record: Record) {
    if !records.contains(&record) {
        records.push(record);
    }
}

/// Who keeps the zone. Its number is that of the catalog's last change.
fn soa(zone: &Zone, view: &View) -> RData {
    let keeper = zone.below("hostmaster").unwrap_or_else(|| zone.name.clone());
    let serial = (view.seq() & u64::from(u32::MAX)) as u32;
    let negative = zone.negative_ttl;
    RData::SOA(SOA::new(server(zone, view), keeper, serial, REFRESH, RETRY, EXPIRE, negative))
}
